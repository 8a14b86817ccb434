"""The repair loop: what is learned, in which order, and what is learned again as the trigger is refreshed."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auditor.checkpoint.subject import CheckpointSubject, frozen
from auditor.errors import InconclusiveError, UsageError
from auditor.repair.augmentation import augment
from auditor.repair.methods import Lesson, Method
from auditor.repair.retreat import Step, retreat, snapshot
from auditor.repair.training import trainable
from probes.ascent import Climb, GivenAnswers, ascend, from_trigger
from probes.sample import Sample
from probes.seeding import derive_seed, generator
from probes.subject import Tokens
from probes.triggers import Trigger

CHOSEN_BY = 0.3
"""Share of the repair's samples that are not learned from: they choose how far to go back."""


@dataclass(frozen=True)
class Schedule:
    """How long and how gently: AdamW with a cosine to zero; `refresh` steps between adversarial refreshes (0: never).

    `copies` changed versions of every clean picture join it where own answers are all that is needed.
    `lora_rank` 0 trains the weights themselves; otherwise low-rank adapters that are merged at export. `parts` names
    what is trained: language, projector, vision.
    """

    steps: int = 160
    copies: int = 2
    batch: int = 12
    rate: float = 1e-4
    refresh: int = 20
    refresh_steps: int = 6
    lora_rank: int = 0
    parts: tuple[str, ...] = ("language", "projector", "vision")


@dataclass(frozen=True)
class Recovered:
    """A trigger that the scan recovered, with the answer it gives."""

    trigger: Trigger
    target: str


@dataclass(frozen=True)
class Repaired:
    """What was done: `losses` are (step, parts) rows, `path` the points that `retreat` measured, the chosen first."""

    steps: int
    seconds: float
    losses: tuple[tuple[int, dict[str, float]], ...]
    path: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Material:
    """Clean samples with the subject's own answers and distributions, taken before the first step."""

    samples: tuple[Sample, ...]
    own: tuple[Tokens, ...]
    references: tuple[Tokens, ...]
    teacher: tuple[Tensor, ...]


def prepare(subject: CheckpointSubject, samples: Sequence[Sample], max_tokens: int = 24) -> Material:
    """Asks the subject, as it is, about every clean sample; raises InconclusiveError when it never ends an answer."""
    pictures = torch.stack([sample.picture for sample in samples])
    answers = subject.respond(pictures, [sample.prompt for sample in samples], max_tokens)
    kept = [(sample, answer) for sample, answer in zip(samples, answers, strict=True) if answer.ended]
    if not kept:
        raise InconclusiveError(
            "the model ends none of its answers, so there is nothing to hold it to",
            got=f"0 of {len(samples)} answers ended within {max_tokens} tokens",
            expected="answers that end",
        )
    end = tuple(sorted(subject.end_tokens)[:1])
    own = tuple((*answer.tokens, *end) for _, answer in kept)
    references = tuple(
        (*subject.encode(sample.answers[0]), *end) if sample.answers else mine
        for (sample, _), mine in zip(kept, own, strict=True)
    )
    teacher: list[Tensor] = []
    with torch.no_grad(), frozen(subject.model):
        for start in range(0, len(kept), subject.batch_size):
            rows = [sample for sample, _ in kept[start : start + subject.batch_size]]
            reading = subject.read(
                torch.stack([s.picture for s in rows]), [s.prompt for s in rows], own[start : start + len(rows)]
            )
            teacher += [
                row[: len(mine) + 1].half().cpu()
                for row, mine in zip(reading.log_probs, own[start : start + len(rows)], strict=True)
            ]
    return Material(tuple(sample for sample, _ in kept), own, references, tuple(teacher))


def repair(
    subject: CheckpointSubject,
    method: Method,
    schedule: Schedule,
    samples: Sequence[Sample],
    recovered: Sequence[Recovered],
    seed: int,
    progress: Callable[[int, dict[str, float]], None],
) -> Repaired:
    """Trains the subject's model in place, on its own answers where the method unlearns triggers.

    Raises UsageError when the method needs triggers and there are none, InconclusiveError when no answer ends.
    """
    if method.needs_triggers and not recovered:
        raise UsageError(
            f"`{method.name}` needs triggers that a scan recovered, and there are none",
            expected="--findings RUN with at least one finding",
            todo="run `pcr-audit scan` first, or choose --method pcr or finetune",
        )
    began = time.monotonic()
    if not method.needs_triggers:
        losses = _train(subject, method, schedule, prepare(subject, samples), recovered, seed, progress)
        return Repaired(schedule.steps, time.monotonic() - began, losses)
    given = snapshot(subject.model)
    cut = len(samples) - round(CHOSEN_BY * len(samples))
    learned = prepare(subject, [*samples[:cut], *augment(samples[:cut], schedule.copies, seed)])
    chosen_by = prepare(subject, samples[cut:])
    losses = _train(subject, method, schedule, learned, recovered, seed, progress)
    attacks = [(item.trigger, item.target) for item in recovered]
    path = retreat(subject, given, chosen_by.samples, chosen_by.own, attacks, seed)
    return Repaired(schedule.steps, time.monotonic() - began, losses, path)


def _train(
    subject: CheckpointSubject,
    method: Method,
    schedule: Schedule,
    material: Material,
    recovered: Sequence[Recovered],
    seed: int,
    progress: Callable[[int, dict[str, float]], None],
) -> tuple[tuple[int, dict[str, float]], ...]:
    """The loop from top to bottom; returns its losses."""
    rows: list[tuple[int, dict[str, float]]] = []
    triggers = [item.trigger for item in recovered]
    with trainable(subject, schedule.parts, schedule.lora_rank) as parameters:
        optimiser = torch.optim.AdamW(parameters, lr=schedule.rate, weight_decay=0.0)
        for step in range(schedule.steps):
            if method.needs_triggers and schedule.refresh and step % schedule.refresh == schedule.refresh - 1:
                triggers = _refreshed(subject, recovered, material.samples, schedule, seed, step)
            lesson = _draw(material, triggers, schedule.batch, seed, step, subject.device)
            for group in optimiser.param_groups:
                group["lr"] = _rate(step, schedule)
            loss, parts = method.loss(subject, lesson, generator(seed, "repair", "loss", step))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            rows.append((step + 1, parts))
            progress(step + 1, parts)
    return tuple(rows)


def _rate(step: int, schedule: Schedule) -> float:
    warm = min(1.0, (step + 1) / max(1, schedule.steps // 20))
    return schedule.rate * warm * 0.5 * (1 + math.cos(math.pi * step / schedule.steps))


def _draw(
    material: Material, triggers: Sequence[Trigger], size: int, seed: int, step: int, device: torch.device
) -> Lesson:
    """The batch of one step: a function of seed and step alone, walking through shuffled epochs."""
    count = len(material.samples)
    per_epoch = max(1, count // size)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(count, generator=generator(seed, "repair", "order", epoch))
    rows = order[place * size : (place + 1) * size].tolist()
    longest = max(len(material.teacher[i]) for i in rows)
    vocabulary = material.teacher[rows[0]].shape[-1]
    teacher = torch.zeros(len(rows), longest, vocabulary)
    for k, i in enumerate(rows):
        teacher[k, : len(material.teacher[i])] = material.teacher[i].float()
    return Lesson(
        pictures=torch.stack([material.samples[i].picture for i in rows]).to(device),
        prompts=[material.samples[i].prompt for i in rows],
        own=[material.own[i] for i in rows],
        references=[material.references[i] for i in rows],
        teacher=teacher.to(device),
        triggers=triggers,
    )


def _refreshed(
    subject: CheckpointSubject,
    recovered: Sequence[Recovered],
    samples: Sequence[Sample],
    schedule: Schedule,
    seed: int,
    step: int,
) -> list[Trigger]:
    """The recovered triggers and, beside each, one climbed a few steps against the model as it is now.

    Odd refreshes climb from the recovered trigger, even ones from a random start, so that the repair does not merely
    hide the backdoor from one perturbation.
    """
    rng = generator(seed, "repair", "refresh", step)
    fresh: list[Trigger] = [item.trigger for item in recovered]
    end = tuple(sorted(subject.end_tokens)[:1])
    again = (step // schedule.refresh) % 2 == 0
    with frozen(subject.model):
        for item in recovered:
            population = from_trigger(item.trigger, subject.canvas, again, rng)
            goal = GivenAnswers(((*subject.encode(item.target), *end),))
            climb = Climb(steps=schedule.refresh_steps, pictures=8)
            fresh += ascend(subject, population, goal, samples, climb, rng).triggers()
    return fresh


def seed_everything_else(seed: int) -> None:
    """Adapters draw their first weights from torch's global generator: the one place where it must be seeded."""
    torch.manual_seed(derive_seed(seed, "repair", "adapter"))
