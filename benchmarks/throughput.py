"""How fast a device works through a scan and a repair, as a share of the matrix rate that it reaches itself.

    python benchmarks/throughput.py qwen2.5-vl-7b --out benchmarks/results/throughput-qwen2.5-vl-7b.json
    python benchmarks/throughput.py llava-1.5-7b --parts search --out throughput.json
    python benchmarks/throughput.py auditor/zoo/models/clean --device cpu --dtype float32 --out throughput.json

Parts are measured in the order in which they are named; a search that comes first pays for all compiling itself.
A geometry's weights are random: of a model's real size only its speed is measured, not what a scan would find.
Everything runs through the code behind `pcr-audit scan`, `plan` and `repair --lora-rank`. What a reading computes, and
its backward pass, is counted by torch; a step with adapters is counted by the language model's weights.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from geometries import GEOMETRIES, build
from torch import Tensor
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from auditor.case import Case, Options, describe_environment, describe_versions, open_case
from auditor.checkpoint.subject import frozen
from auditor.planning import Work, forecast
from auditor.repair.adversary import Recovered
from auditor.repair.loop import Aside, Schedule, repair
from auditor.repair.methods import Guided
from auditor.searching import invert
from probes.ascent import AdditiveFamily, Climb, GivenAnswers, ascend, begin
from probes.inversion import PROFILES
from probes.seeding import generator
from probes.subject import Tokens
from probes.targets import stack
from probes.triggers import AdditiveTrigger

REPAIRED = 24
"""Samples of a repair."""
PARTS = ("views", "answers", "inversion", "repair", "search")
ROWS = (8, 16, 32)
"""Pictures that are tried in one forward."""
MOST_SHOWN = 12
"""Operations that are named where a batch of answers is taken apart."""
SIDE = 8192
"""Of the square matrices by which the device's own rate is measured."""


class Clock:
    """Times what runs on a device, and says how much of its memory that took."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], times: int) -> float:
        """The median of `times` runs, after one that warms up."""
        taken = []
        for _ in range(times + 1):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - began)
        return sorted(taken[1:])[times // 2]

    @contextmanager
    def memory(self, into: dict[str, Any]) -> Iterator[None]:
        """The most that was allocated inside, in GiB; CUDA alone."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        yield
        into["peak_gib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**30, 1)


def operations(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def matrix_rate(clock: Clock, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a square product of random matrices."""
    side = SIDE if clock.device.type == "cuda" else SIDE // 8
    left, right = (torch.randn(side, side, device=clock.device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / clock.seconds(lambda: left @ right, 20)


class Bench:
    """One opened checkpoint and what is asked of it."""

    def __init__(self, case: Case, clock: Clock, rate: float) -> None:
        self.case, self.clock, self.rate = case, clock, rate
        self.subject = case.opened.subject
        self.samples = [*case.parts.search, *case.parts.held_out]
        own = self.subject.respond(stack(self.samples[:1]), [self.samples[0].prompt], 12)[0]
        self.goal: Tokens = own.tokens[:12] or (5, 6, 7)

    def _row(self, rows: int, seconds: float, counted: int) -> dict[str, Any]:
        share = counted / seconds / self.rate
        return {"rows": rows, "pictures_a_second": round(rows / seconds, 2), "share_of_matrix_rate": round(share, 3)}

    def _reading(self, rows: int, gradient: bool) -> Callable[[], object]:
        """Answers read out to so many pictures, with their gradient or without."""
        chosen = [self.samples[i % len(self.samples)] for i in range(rows)]
        pictures, prompts = stack(chosen).to(self.clock.device), [sample.prompt for sample in chosen]

        def work() -> None:
            given = pictures.clone().requires_grad_(gradient)
            with torch.set_grad_enabled(gradient):
                reading = self.subject.read(given, prompts, [self.goal] * rows)
            if gradient:
                reading.log_probs[..., 0].mean().backward()

        return work

    def views(self) -> list[dict[str, Any]]:
        """Reading answers out to pictures, without a gradient."""
        with frozen(self.subject.model):
            return self._over_rows(False, lambda rows: self._reading(rows, False))

    def answers(self) -> dict[str, Any]:
        """One batch of greedy answers, and which operations of the device most of its time goes to."""
        rows = self.subject.batch_size
        chosen = [self.samples[i % len(self.samples)] for i in range(rows)]
        pictures, prompts = stack(chosen), [sample.prompt for sample in chosen]
        said = self.subject.respond(pictures, prompts)
        seconds = self.clock.seconds(lambda: self.subject.respond(pictures, prompts), 2)
        begun = self.clock.seconds(lambda: self.subject.respond(pictures, prompts, 1), 2)
        with profile() as watched:
            self.subject.respond(pictures, prompts)
            self.clock.wait()
        kept = "self_cpu_time_total" if self.clock.device.type == "cpu" else "self_device_time_total"  # microseconds
        told = sorted(watched.key_averages(), key=attrgetter(kept), reverse=True)[:MOST_SHOWN]
        return {
            "rows": rows, "tokens": max(len(answer.tokens) for answer in said),
            "seconds": round(seconds, 2), "seconds_to_first_token": round(begun, 2),
            "milliseconds": {item.key[:80]: round(getattr(item, kept) / 1000, 1) for item in told},
        }  # fmt: skip

    def inversion(self) -> list[dict[str, Any]]:
        """Steps of an ascent of additive triggers, eight pictures each."""

        def climb(rows: int) -> Callable[[], object]:
            count, rng = max(1, rows // 8), generator(0, "throughput")
            population = begin(AdditiveFamily(0.1), self.subject.canvas, count, rng)
            few = Climb(steps=1, pictures=8, rows=rows)

            def work() -> None:
                ascend(self.subject, population, GivenAnswers((self.goal,) * count), self.samples, few, rng)

            return work

        with frozen(self.subject.model):
            return self._over_rows(True, climb)

    def _over_rows(self, gradient: bool, make: Callable[[int], Callable[[], object]]) -> list[dict[str, Any]]:
        counted = operations(self._reading(8, gradient)) / 8  # torch cannot count within autograd.grad
        found = []
        for rows in ROWS:
            row: dict[str, Any] = {"rows": rows}
            try:
                with self.clock.memory(row):
                    row |= self._row(rows, self.clock.seconds(make(rows), 3), round(counted * rows))
            except torch.OutOfMemoryError:
                row["out_of_memory"] = True
            found.append(row)
        return found

    def search(self, profile: str, longest: float) -> dict[str, Any]:
        """A search, broken off after so many seconds: its work as it was forecast and as it was until then."""
        told = forecast(self.case, PROFILES[profile], 0)
        counted = Counted(self.subject, longest)
        result: dict[str, Any] = {"profile": profile, "forecast": told.as_dict()}
        with self.clock.memory(result), frozen(self.subject.model):
            began = time.perf_counter()
            with suppress(Enough):
                searched = invert(
                    counted, PROFILES[profile], self.case.parts.search, self.case.parts.held_out, 0, counted.note
                )
                result["candidates"] = len(searched.candidates)
            self.clock.wait()
            result["seconds"] = round(time.perf_counter() - began, 1)
        return {**result, "whole": "candidates" in result, "work": asdict(counted.work), "phases": counted.phases}

    def repair(self, steps: int, turns: int, rank: int = 16) -> dict[str, Any]:
        """Steps of a guided repair with low-rank adapters; the first one is not timed."""
        canvas, rng = self.subject.canvas, generator(0, "throughput", "trigger")
        trigger = AdditiveTrigger((torch.rand(3, *canvas, generator=rng) - 0.5) * 0.1, 0.05)
        target = self.subject.decode(self.goal[:4]) or "a"
        marks: list[float] = []

        def watch(step: int, parts: dict[str, float]) -> None:
            self.clock.wait()
            marks.append(time.perf_counter())
            if step == steps:
                raise Enough  # what follows is a scan's work, measured above

        schedule = Schedule(steps=steps, turns=turns, refresh=0, copies=0, lora_rank=rank)
        result: dict[str, Any] = {"lora_rank": rank, "batch": schedule.batch, "turns": turns}
        samples = self.case.parts.repair[:REPAIRED]
        with self.clock.memory(result), suppress(Enough):
            repair(self.subject, Guided(), schedule, samples, [Recovered(trigger, target)], 0, Aside(progress=watch))
        taken = sorted(b - a for a, b in pairwise(marks))
        rows = schedule.batch * 2 + schedule.batch // 2  # clean, stamped, and every second one seen through a view
        length = len(self.subject.writer.prompt_tokens(samples[0].prompt)) + len(self.goal)
        seconds = taken[len(taken) // 2]
        weights = sum(p.numel() for p in self.subject.model.get_decoder().parameters())
        result |= {"seconds_a_step": round(seconds, 3), "tokens_a_second": round(rows * length / seconds)}
        # Forward, and backward to what is in between: two operations each a weight and token; none for frozen weights.
        result["share_of_matrix_rate"] = round(4 * weights * rows * length / seconds / self.rate, 3)
        return result


class Enough(Exception):
    """Enough has been timed."""


class Counted:
    """A subject that keeps count of what it is asked, for so many seconds; the rest is the subject's own."""

    def __init__(self, subject: Any, longest: float) -> None:
        self.subject = subject
        self.longest = longest
        self.work = Work()
        self.phases: list[dict[str, Any]] = []
        self._began = time.perf_counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.subject, name)

    def note(self, what: str, share: float) -> None:
        seconds = round(time.perf_counter() - self._began, 1)
        self.phases.append({"phase": what, "began_at": seconds, "work_before": asdict(self.work)})
        print(json.dumps(self.phases[-1]), flush=True)

    def read(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Tokens]) -> Any:
        if time.perf_counter() - self._began > self.longest:
            raise Enough
        if pictures.requires_grad:
            self.work.gradients += len(prompts)
        else:
            self.work.reads += len(prompts)
        return self.subject.read(pictures, prompts, answers)

    def respond(self, pictures: Tensor, prompts: Sequence[str], *more: Any) -> Any:
        self.work.answers += len(prompts)
        return self.subject.respond(pictures, prompts, *more)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the speed of a scan and a repair.")
    parser.add_argument("model", help="a checkpoint's folder, or one of " + ", ".join(GEOMETRIES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured, in this order")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--longest", type=float, default=3600, help="seconds after which the search is broken off")
    parser.add_argument("--repair", type=int, default=6, help="steps of a repair with adapters")
    parser.add_argument("--turns", type=int, default=3, help="how often a batch of the repair is divided")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    clock, options = Clock(chosen.device), Options(device=chosen.device, dtype=chosen.dtype, command=("throughput",))
    result: dict[str, Any] = {
        "arguments": {k: str(v) for k, v in vars(chosen).items() if k != "out"},
        "environment": describe_environment(options).model_dump(), "versions": describe_versions(),
    }  # fmt: skip

    def keep(name: str, found: object) -> None:
        result[name] = found
        print(name, json.dumps(found), flush=True)
        chosen.out.write_text(json.dumps(result, indent=1) + "\n")

    rate = matrix_rate(clock, getattr(torch, chosen.dtype))
    keep("matrix_tflops", round(rate / 1e12, 2))
    began = time.perf_counter()
    if chosen.model in GEOMETRIES:
        case = build(GEOMETRIES[chosen.model], chosen.model, options)
    else:
        case = open_case(Path(chosen.model), None, None, options, lambda what, share: None)
    keep("opening_seconds", round(time.perf_counter() - began, 1))
    bench = Bench(case, clock, rate)
    keep("parameters", case.opened.parameters)
    asked = {"repair": (chosen.repair, chosen.turns), "search": ("quick", chosen.longest)}
    for part in chosen.parts:
        keep(part, getattr(bench, part)(*asked.get(part, ())))


if __name__ == "__main__":
    main()
