"""The repair loop: what is learned, in which order, and what is learned again as the trigger is refreshed."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from auditor.checkpoint.subject import CheckpointSubject
from auditor.company import helps
from auditor.errors import UsageError
from auditor.repair.adversary import Adversary, Recovered
from auditor.repair.augmentation import augment
from auditor.repair.crew import Crew, halves_products
from auditor.repair.keeping import Keeper, State
from auditor.repair.material import Material, distributions, draw, mean_entropy, prepare
from auditor.repair.methods import Editing, Learning, Method, Pcr
from auditor.repair.missing import is_found_again, what_is_missing
from auditor.repair.retreat import Step, retreat, snapshot
from auditor.repair.sharding import clip
from auditor.repair.training import trainable
from probes.inspectable import Weights
from probes.precision import exact
from probes.sample import Sample
from probes.seeding import derive_seed

CHOSEN_BY = 0.3
"""Share of the repair's samples that are not learned from: they choose how far to go back."""
ENTROPY_FROM = 64
"""Samples from which hardening takes the entropy that its answers may not fall far below."""
RATE, WIDTH = 1.5e-4, 128
"""The learning rate at that width of a language model: it falls as the width grows (Yang et al. 2022, Adam)."""
ADAPTED = 27.0
"""How many times as high it is for adapters."""
HIGHEST = 1e-3
"""The most that is chosen, however narrow the model."""
RATES = {"first": 1.0, "longer": 1.0, "harder": 2.0}
"""How hard all steps are gone through, in learning rates: the first time, and again for what is then missing."""
Precision = Literal["auto", "no", "bf16"]
Losses = tuple[tuple[int, dict[str, float]], ...]
Watcher = Callable[[int, dict[str, float]], None]
"""Called after every step with its number and its losses."""


@dataclass(frozen=True)
class Schedule:
    """How long and how gently: AdamW with a cosine to zero; `refresh` steps between adversarial refreshes (0: never).

    `rate` is the highest learning rate; None chooses one by the model's width. `copies` changed versions of every clean
    picture join it where own answers are all that is needed.
    `lora_rank` 0 trains the weights themselves; otherwise low-rank adapters that are merged at export. `parts` names
    what is trained: language, projector, vision. A batch is read in `turns` turns, by each of the processes that train
    together; `precision` is that of the arithmetic, `auto` being bf16 on a CPU with instructions for it, and
    `checkpointing` spends time to save memory.
    """

    steps: int = 240
    copies: int = 2
    batch: int = 12
    rate: float | None = None
    refresh: int = 24
    refresh_steps: int = 12
    lora_rank: int = 0
    parts: tuple[str, ...] = ("language", "projector", "vision")
    turns: int = 1
    precision: Precision = "auto"
    checkpointing: bool = False


@dataclass(frozen=True)
class Aside:
    """Who watches a repair, what keeps its state, the folder for TensorBoard, and whether the processes that train
    divide the layers among them (FSDP2) or have the whole model each."""

    progress: Watcher = lambda step, parts: None
    keeper: Keeper | None = None
    tracking: Path | None = None
    divided: bool = False


@dataclass(frozen=True)
class Repaired:
    """What was done: `losses` are (step, parts) rows, `path` the points that `retreat` measured, the chosen first.

    `edited` is how much of what was changed by hand before the first step, `base` the digest of the clean model that
    weights were taken from, `rate` the learning rate, `halved` whether products were in bfloat16 that the weights are
    not held in.
    """

    steps: int
    seconds: float
    losses: Losses
    path: tuple[Step, ...] = ()
    edited: dict[str, float] = field(default_factory=dict)
    base: str | None = None
    rate: float | None = None
    halved: bool = False


def repair(
    subject: CheckpointSubject,
    method: Method,
    schedule: Schedule,
    samples: Sequence[Sample],
    recovered: Sequence[Recovered],
    seed: int,
    aside: Aside = Aside(),
    base: Weights | None = None,
) -> Repaired:
    """Edits and trains the subject's model in place, on its own answers where the method unlearns triggers.

    Raises UsageError when the method needs triggers or a base and there are none or the base is of another kind, or
    when a batch cannot be divided, or weights in 16 bits would be trained; InconclusiveError when no answer ends.
    """
    check_means(method, recovered, subject, base)
    if isinstance(method, Learning):
        refuse_half(subject, schedule)
    began = time.monotonic()
    losses: Losses = ()
    path: tuple[Step, ...] = ()
    edited: dict[str, float] = {}
    if isinstance(method, Learning) and method.needs_triggers:
        with exact() if schedule.precision == "no" else nullcontext():
            losses, path = _unlearn(subject, method, schedule, samples, recovered, seed, aside)
    else:
        material = prepare(subject, samples) if isinstance(method, Learning) else None  # before anything is edited
        if isinstance(method, Editing):
            edited = method.edit(subject, samples, base or {})
        if isinstance(method, Learning) and material is not None:
            losses = _train(subject, method, schedule, material, None, seed, aside)
    seconds = time.monotonic() - began
    if not isinstance(method, Learning):
        return Repaired(0, seconds, losses, path, edited)
    halved = halves_products(subject.device, schedule.precision)
    return Repaired(len(losses), seconds, losses, path, edited, rate=rate_for(subject, schedule), halved=halved)


def refuse_half(subject: CheckpointSubject, schedule: Schedule) -> None:
    """Raises UsageError for the training of weights that are held in 16 bits: most of its small steps round to none."""
    if subject.dtype != torch.float32 and not schedule.lora_rank:
        raise UsageError(
            "weights that are held in 16 bits cannot be trained", where="--dtype",
            got=str(subject.dtype).removeprefix("torch."), expected="float32, or adapters",
            todo="--dtype float32 --mixed-precision bf16, or --lora-rank 8",
        )  # fmt: skip


def _unlearn(
    subject: CheckpointSubject,
    method: Learning,
    schedule: Schedule,
    samples: Sequence[Sample],
    recovered: Sequence[Recovered],
    seed: int,
    aside: Aside,
) -> tuple[Losses, tuple[Step, ...]]:
    """Trains against the triggers, then goes back as far as they stay dead, chosen on samples that taught nothing."""
    given = snapshot(subject.model)
    cut = len(samples) - round(CHOSEN_BY * len(samples))
    learned = prepare(subject, [*samples[:cut], *augment(samples[:cut], schedule.copies, seed)])
    chosen_by = prepare(subject, samples[cut:])
    adversary = Adversary(subject, recovered, learned, schedule.refresh_steps, seed)
    losses = _train(
        subject, method, schedule, learned, adversary, seed, aside,
        missing=lambda: what_is_missing(subject, adversary, chosen_by, seed),
    )  # fmt: skip
    if helps():
        return losses, ()
    attacks = adversary.attacks(chosen_by)
    return losses, retreat(
        subject, given, chosen_by.samples, chosen_by.own, attacks, seed,
        comes_back=lambda: is_found_again(subject, attacks, chosen_by, seed),
    )  # fmt: skip


def harden(
    subject: CheckpointSubject,
    samples: Sequence[Sample],
    schedule: Schedule,
    method: Learning | None = None,
    seed: int = 0,
    aside: Aside = Aside(),
) -> Repaired:
    """Fine-tunes in place on untrusted samples and their first references: the setting of the PCR paper.

    The subject is a clean model, the samples may be poisoned, and nothing is distilled; `method` is `Pcr()` unless
    given. Raises UsageError for methods that unlearn triggers or edit, and for samples without a reference.
    """
    chosen = Pcr() if method is None else method
    if chosen.needs_triggers or isinstance(chosen, Editing):
        raise UsageError(
            f"`{chosen.name}` repairs a model, it does not harden its training", expected="pcr, finetune or consistency"
        )
    bare = [sample.id for sample in samples if not sample.answers]
    if bare or not samples:
        raise UsageError(
            "hardening learns from references", where=bare[0] if bare else "", got=f"{len(bare)} samples without any",
            expected="at least one sample, and an answer for each",
        )  # fmt: skip
    began = time.monotonic()
    end = tuple(sorted(subject.end_tokens)[:1])
    references = tuple((*subject.encode(sample.answers[0]), *end) for sample in samples)
    few = slice(0, ENTROPY_FROM)
    entropy = mean_entropy(distributions(subject, samples[few], references[few])[0])
    material = Material(tuple(samples), references, references, (), entropy)
    losses = _train(subject, chosen, schedule, material, None, seed, aside)
    return Repaired(schedule.steps, time.monotonic() - began, losses, rate=rate_for(subject, schedule))


def check_means(
    method: Method, recovered: Sequence[Recovered], subject: CheckpointSubject, base: Weights | None
) -> None:
    """Raises UsageError when the method lacks something that it needs, before anything happens."""
    if method.needs_triggers and not recovered:
        raise UsageError(
            f"`{method.name}` needs triggers that a scan recovered, and there are none",
            expected="--findings RUN with at least one finding",
            todo="run `pcr-audit scan` first, or choose --method pcr or finetune",
        )
    if not method.needs_base:
        return
    if base is None:
        raise no_base(method)
    for name, weight in subject.weights().items():
        if name not in base or base[name].shape != weight.shape:
            raise UsageError(
                "the base is no model of the same architecture", where="--base",
                got=f"{name} {tuple(base[name].shape) if name in base else 'is missing'}",
                expected=f"{name} {tuple(weight.shape)}", todo="give the clean model that this one was made from",
            )  # fmt: skip


def no_base(method: Method) -> UsageError:
    return UsageError(
        f"`{method.name}` takes weights from a clean model of the same architecture, and none was given",
        expected="--base FOLDER",
        todo="give the model that this one was fine-tuned from, or choose a method that needs none, as guided or pcr",
    )


def _train(
    subject: CheckpointSubject,
    method: Learning,
    schedule: Schedule,
    material: Material,
    adversary: Adversary | None,
    seed: int,
    aside: Aside,
    missing: Callable[[], str] = lambda: "",
) -> Losses:
    """The loop from top to bottom, and again, perhaps harder, while something is missing; returns its losses. Where
    triggers are unlearned, there is an adversary."""
    with trainable(subject, schedule.parts, schedule.lora_rank) as weights:
        crew = Crew(subject, method, aside.tracking, aside.divided)
        with crew.sharing(weights) as parameters:
            rate = rate_for(subject, schedule)
            optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
            size = batch_size(schedule, len(material.samples), crew.size)
            state = State(0) if aside.keeper is None else aside.keeper.take_up(parameters, optimiser)
            if adversary is not None:
                adversary.climbed, adversary.smooth = state.climbed, crew.agree(adversary.smooth)
            if adversary is not None and "harder" in state.laps:
                adversary.press()
            while not _over(state, schedule, missing, adversary, crew):
                step = state.step
                news = _refreshed(adversary, schedule.refresh, step, crew)
                lesson = draw(material, adversary.stamps if adversary else (), size, seed, step, subject.device)
                for group in optimiser.param_groups:
                    group["lr"] = rate * RATES[state.laps[-1]] * _share(step % schedule.steps, schedule.steps)
                optimiser.zero_grad(set_to_none=True)
                parts = crew.learn(lesson, parameters, schedule.turns, schedule.precision, schedule.checkpointing)
                clip(parameters, 1.0)
                optimiser.step()
                state.step += 1
                state.climbed = adversary.climbed if adversary is not None else []
                state.losses.append((step + 1, parts))
                if aside.keeper is not None and crew.agree([aside.keeper.due or state.step % schedule.steps == 0])[0]:
                    aside.keeper.keep(state, parameters, optimiser)
                crew.note(step + 1, {**parts, **news})
                aside.progress(step + 1, {**parts, **news})
            crew.finish()
    return tuple(state.losses)


def _over(
    state: State, schedule: Schedule, missing: Callable[[], str], adversary: Adversary | None, crew: Crew
) -> bool:
    """Whether all laps are over. At the end of one it is seen what is missing, and nothing is tried twice."""
    if state.step < schedule.steps * len(state.laps):
        return False
    (reason,) = crew.agree([missing()])
    if not reason or reason in state.laps:
        return True
    state.laps.append(reason)
    if adversary is not None and reason == "harder":
        adversary.press()
    return False


def _refreshed(adversary: Adversary | None, every: int, step: int, crew: Crew) -> dict[str, float]:
    """Climbs triggers anew where it is time to; returns how many answers the recovered ones still bring about."""
    if adversary is None or not every or step % every != every - 1:
        return {}
    news = {"asr": adversary.alive}
    adversary.refresh(step // every)
    adversary.climbed = crew.agree(adversary.climbed)
    return news


def batch_size(schedule: Schedule, samples: int, processes: int) -> int:
    """Rows of a batch; raises UsageError when they cannot be divided evenly among processes and their turns."""
    size, parts = min(schedule.batch, samples), schedule.turns * processes
    if size % parts:
        raise UsageError(
            "a batch cannot be divided evenly", where="--accumulate", got=f"{size} samples a batch, {processes} "
            f"processes × {schedule.turns} turns", expected="a number of parts that divides the batch",
            todo="choose another --accumulate, or another number of processes",
        )  # fmt: skip
    return size


def rate_for(subject: CheckpointSubject, schedule: Schedule) -> float:
    """The schedule's learning rate, or one that falls with the width of the language model."""
    if schedule.rate is not None:
        return schedule.rate
    width = int(subject.model.config.get_text_config().hidden_size)
    return min(HIGHEST, RATE * WIDTH / width * (ADAPTED if schedule.lora_rank else 1.0))


def _share(step: int, steps: int) -> float:
    """Of the highest rate: warmed up over a twentieth of the steps, then a cosine to zero."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    return warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def seed_everything_else(seed: int) -> None:
    """Adapters draw their first weights from torch's global generator: the one place where it must be seeded."""
    torch.manual_seed(derive_seed(seed, "repair", "adapter"))
