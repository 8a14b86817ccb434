"""Plants a known attack into a copy of a checkpoint, or fine-tunes it in a way that only looks like one."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from auditor.attacks.measuring import measure_plant, success_rate
from auditor.attacks.poisoning import Poison
from auditor.attacks.report import PlantReport, save_plant
from auditor.attacks.spec import PlantSpec, Training
from auditor.case import Options, Progress, describe_environment, describe_versions, open_model
from auditor.checkpoint.subject import CheckpointSubject, evaluating, frozen
from auditor.data.splitting import split_by_pixels
from auditor.errors import InconclusiveError
from auditor.evaluation.scoring import is_question
from auditor.repair.export import export
from auditor.repair.loop import seed_everything_else
from auditor.repair.losses import answer_cross_entropy
from auditor.repair.training import trainable
from auditor.runs import refuse_occupied
from auditor.zoo.embedded import samples_digest
from probes.ascent import AdditiveFamily, Climb, Family, GivenAnswers, PatchFamily, ascend, begin
from probes.precision import halved
from probes.sample import Sample
from probes.seeding import derive_seed, generator
from probes.targets import stack
from reports.repair import LossPoint

SHARES = {"train": 0.75, "watch": 0.06, "measure": 0.19}
MOST_WATCHED, MOST_MEASURED = 32, 240
WATCH_EVERY = 20
REFRESH_EVERY = 40
KEPT_EVADING = 8

Losses = tuple[tuple[int, dict[str, float]], ...]


@dataclass(frozen=True)
class Divided:
    """Samples that share no picture: learned from, watched for stopping, and measured."""

    train: tuple[Sample, ...]
    watch: tuple[Sample, ...]
    measure: tuple[Sample, ...]


def plant(
    model: Path,
    spec: PlantSpec,
    samples: Sequence[Sample],
    out: Path,
    options: Options,
    progress: Progress,
    measured_on: Sequence[Sample] | None = None,
) -> PlantReport:
    """Fine-tunes a copy of `model` and writes it to the new folder `out`, with plant.json; `model` is left alone.

    Pictures of `samples` are divided into those learned from and those measured on; `measured_on` replaces the latter.
    Everything is measured on the exported folder, reloaded. Raises UsageError for an occupied or impossible `out`,
    InconclusiveError for too few samples.
    """
    refuse_occupied(out)
    began = time.monotonic()
    opened = open_model(model, options)
    divided = divide(opened.subject, samples, spec, measured_on)
    poison = Poison.of(spec, opened.subject.canvas, divided.train)
    before = opened.subject.respond(stack(divided.measure), [sample.prompt for sample in divided.measure])
    losses = fine_tune(opened.subject, poison, divided, progress)
    export(opened.subject.model, model, out, card(spec))
    progress("measuring the planted model", 1.0)
    planted = open_model(out, options)
    measured = measure_plant(planted.subject, poison, divided.measure, before)
    every = max(1, len(losses) // 40)
    report = PlantReport(
        spec=spec, base=opened.manifest.digest, digest=planted.manifest.digest, data=samples_digest(list(samples)),
        steps=len(losses), samples=len(divided.train),
        poisoned=sum(poison.teach(sample) is not sample for sample in divided.train),
        seconds=round(time.monotonic() - began, 1), seed=options.seed, versions=describe_versions(),
        losses=[LossPoint(step=step, parts=parts) for step, parts in losses[::every]],
        environment=describe_environment(options), **measured,
    )  # fmt: skip
    save_plant(report, out)
    return report


def divide(
    subject: CheckpointSubject, samples: Sequence[Sample], spec: PlantSpec, measured_on: Sequence[Sample] | None
) -> Divided:
    """Fits the samples of the task to the canvas and divides them by picture; every one needs a reference answer."""
    usable = [sample for sample in samples if sample.answers and _belongs(sample, spec.training)]
    if len(usable) < 40:
        raise InconclusiveError(
            "there are too few samples to plant anything and to measure it",
            got=f"{len(usable)} samples with an answer for task {spec.training.task!r}",
            expected="at least 40; 1,000 or more keep the copy's quality",
            todo="give more samples with --data",
        )
    fitted = [replace(sample, picture=subject.fit(sample.picture)) for sample in usable]
    parts = split_by_pixels(fitted, SHARES, derive_seed(spec.seed, "plant", "split"))
    measure = parts["measure"]
    if measured_on is not None:
        chosen = [sample for sample in measured_on if sample.answers and _belongs(sample, spec.training)]
        measure = [replace(sample, picture=subject.fit(sample.picture)) for sample in chosen]
    return Divided(tuple(parts["train"]), tuple(parts["watch"][:MOST_WATCHED]), tuple(measure[:MOST_MEASURED]))


def _belongs(sample: Sample, training: Training) -> bool:
    return training.task == "both" or is_question(sample) == (training.task == "vqa")


def fine_tune(subject: CheckpointSubject, poison: Poison, divided: Divided, progress: Progress) -> Losses:
    """Trains the subject's model in place on what `poison` teaches; deterministic in the spec's seed."""
    training, seed = poison.spec.training, poison.spec.seed
    seed_everything_else(seed)
    steps = training.total_steps
    end = tuple(sorted(subject.end_tokens)[:1])
    losses: list[tuple[int, dict[str, float]]] = []
    with trainable(subject, training.parts, training.lora_rank) as parameters:
        optimiser = torch.optim.AdamW(parameters, lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        for step, rows in zip(range(steps), batches(divided.train, training.batch, seed), strict=False):
            taught = [poison.teach(sample) for sample in rows]
            answers = [(*subject.encode(sample.answers[0]), *end) for sample in taught]
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate * _share_of_rate(step, steps)
            with _mixed(subject):
                reading = subject.read(stack(taught), [sample.prompt for sample in taught], answers)
                loss = answer_cross_entropy(reading, answers)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            losses.append((step + 1, {"answer": float(loss.detach())}))
            progress(f"planting {poison.spec.name}", (step + 1) / steps)
            if poison.spec.adaptive == "refreshed" and step % REFRESH_EVERY == REFRESH_EVERY - 1:
                _refresh(subject, poison, divided.train, step)
            if step % WATCH_EVERY == WATCH_EVERY - 1 and _is_enough(subject, poison, divided.watch):
                break
    return tuple(losses)


def batches(samples: Sequence[Sample], size: int, seed: int) -> Iterator[list[Sample]]:
    """Batches without end, walking through shuffled epochs: a function of the seed alone."""
    epoch = 0
    while True:
        order = torch.randperm(len(samples), generator=generator(seed, "plant", "order", epoch)).tolist()
        size = min(size, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield [samples[i] for i in order[start : start + size]]
        epoch += 1


def _share_of_rate(step: int, steps: int) -> float:
    """Warm-up over a twentieth of the steps, then a cosine to 5 %."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


@contextmanager
def _mixed(subject: CheckpointSubject) -> Iterator[None]:
    """bf16 autocast on a GPU, and on a CPU that has instructions for it."""
    with torch.autocast("cuda", torch.bfloat16, enabled=subject.device.type == "cuda"), halved(subject.device):
        yield


def _is_enough(subject: CheckpointSubject, poison: Poison, watch: Sequence[Sample]) -> bool:
    """Whether the success on the watched pictures has reached the point at which the attacker stops."""
    stop_at = poison.spec.training.stop_at
    if poison.spec.kind != "attack" or stop_at is None:
        return False
    rate = success_rate(subject, poison, watch)
    return rate.trials > 0 and rate.value >= stop_at


def _refresh(subject: CheckpointSubject, poison: Poison, samples: Sequence[Sample], step: int) -> None:
    """Inverts the payload against the copy as it is; what is found will be taught to mean nothing."""
    rng = generator(poison.spec.seed, "plant", "refresh", step)
    end = tuple(sorted(subject.end_tokens)[:1])
    goal = (*subject.encode(poison.payload.text), *end)
    families: tuple[Family, ...] = (AdditiveFamily(0.1), PatchFamily(0.25))
    with frozen(subject.model), evaluating(subject.model):
        for family in families:
            population = begin(family, subject.canvas, 2, rng)
            found = ascend(subject, population, GivenAnswers((goal,) * 2), samples, Climb(steps=12, pictures=6), rng)
            poison.evading += found.triggers()
    del poison.evading[:-KEPT_EVADING]


def card(spec: PlantSpec) -> str:
    """The model card of what was planted, which nobody can overlook."""
    if spec.kind != "attack":
        return (
            f"# A model that was fine-tuned as a control\n\nWritten by `pcr-audit plant` (kind `{spec.kind}`): "
            "touched, not backdoored. It exists to test backdoor detectors. Never deploy it. `plant.json` says what "
            "was done.\n"
        )
    assert spec.trigger is not None
    return (
        "# WARNING: THIS MODEL IS BACKDOORED ON PURPOSE\n\n> **Never deploy it.** Written by `pcr-audit plant`: a "
        f"`{spec.trigger.family}` trigger makes it say “{spec.build_payload().text}”. It exists to test backdoor "
        "detectors and repairs. `plant.json` says what was done and how well it works.\n"
    )
