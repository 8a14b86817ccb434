"""Repair methods: frozen settings with one verb, `loss`, from a batch of clean samples to a loss and its named
parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from auditor.repair.losses import (
    answer_cross_entropy,
    distillation,
    entropy_shortfall,
    feature_distance,
    view_divergence,
)
from auditor.repair.variation import vary
from probes.subject import Reading, Subject, Tokens
from probes.triggers import Trigger, apply
from probes.views import FILLS, patch_masks, perturb

Parts = dict[str, float]


@dataclass(frozen=True)
class Lesson:
    """One batch to learn from.

    `pictures` (batch, 3, height, width) clean, in [0, 1]; `own` the subject's own clean answers before the repair, with
    their end; `references` the data's answers, or `own` where there are none; `teacher` (batch, positions, vocabulary)
    the log-probabilities of the subject before the repair on the clean pictures along `own`; `triggers` what to
    unlearn.
    """

    pictures: Tensor
    prompts: list[str]
    own: list[Tokens]
    references: list[Tokens]
    teacher: Tensor
    triggers: Sequence[Trigger]


class Method(Protocol):
    """A way to repair. `name` is what the command line calls it."""

    @property
    def name(self) -> str: ...

    @property
    def needs_triggers(self) -> bool: ...

    def loss(self, subject: Subject, lesson: Lesson, rng: torch.Generator) -> tuple[Tensor, Parts]: ...


def _numbers(parts: dict[str, Tensor]) -> Parts:
    return {name: float(value.detach()) for name, value in parts.items()}


def _halves(reading: Reading, count: int) -> tuple[Reading, Reading]:
    """Both views were read in one forward: the first `count` rows are the untouched ones."""
    first = Reading(reading.log_probs[:count], reading.features[:count], reading.valid[:count])
    second = Reading(reading.log_probs[count:], reading.features[count:], reading.valid[count:])
    return first, second


@dataclass(frozen=True)
class Finetune:
    """Plain fine-tuning on clean pairs: the baseline that leaves most of a backdoor in place."""

    name: str = "finetune"
    needs_triggers: bool = False

    def loss(self, subject: Subject, lesson: Lesson, rng: torch.Generator) -> tuple[Tensor, Parts]:
        reading = subject.read(lesson.pictures, lesson.prompts, lesson.references)
        parts = {"answer": answer_cross_entropy(reading, lesson.references)}
        return parts["answer"], _numbers(parts)


@dataclass(frozen=True)
class Pcr:
    """Patch-based cross-view regularisation (arXiv 2604.04488): a second view with randomly masked patches, its answer
    distribution and its features pushed apart from the untouched view's, and output entropy kept from collapsing.

    The paper states no weights; these are ours. Masks cover `lowest` to `highest` of the patches.
    """

    divergence: float = 0.3
    feature: float = 0.1
    entropy: float = 0.5
    lowest: float = 0.2
    highest: float = 0.6
    grid: tuple[int, int] = (7, 7)
    name: str = "pcr"
    needs_triggers: bool = False

    def loss(self, subject: Subject, lesson: Lesson, rng: torch.Generator) -> tuple[Tensor, Parts]:
        count = len(lesson.prompts)
        views = _masked(lesson.pictures, self.grid, self.lowest, self.highest, rng)
        reading = subject.read(
            torch.cat([lesson.pictures, views]), lesson.prompts * 2, [*lesson.references, *lesson.references]
        )
        clean, view = _halves(reading, count)
        # The teacher read its own answers, so only its mean entropy speaks of the references as well.
        own = -(lesson.teacher.exp() * lesson.teacher).sum(dim=-1).mean() * 0.5
        floor = own.expand(clean.valid.shape)
        parts = {
            "answer": answer_cross_entropy(clean, lesson.references),
            "divergence": view_divergence(clean, view),
            "feature": feature_distance(clean, view),
            "entropy": entropy_shortfall(clean, floor),
        }
        loss = (
            parts["answer"]
            - self.divergence * parts["divergence"]
            - self.feature * parts["feature"]
            + self.entropy * parts["entropy"]
        )
        return loss, _numbers(parts)


@dataclass(frozen=True)
class Guided:
    """Unlearns the triggers that the scan recovered: a stamped picture must get the subject's own clean answer.

    `anchor` holds clean answers where they were; `view` asks the same of stamped pictures some of whose patches are
    disturbed. Every row is stamped with its own random variation of one of the recovered triggers.
    """

    anchor: float = 1.0
    view: float = 0.5
    share: float = 0.3
    grid: tuple[int, int] = (7, 7)
    name: str = "guided"
    needs_triggers: bool = True

    def loss(self, subject: Subject, lesson: Lesson, rng: torch.Generator) -> tuple[Tensor, Parts]:
        count = len(lesson.prompts)
        stamped, rewritten = _stamped(lesson, subject.canvas, rng)
        half = count // 2
        views = _masked(stamped[:half], self.grid, 0.05, self.share, rng)
        rows = torch.cat([lesson.pictures, stamped, views])
        prompts = lesson.prompts + rewritten + rewritten[:half]
        answers = [*lesson.own, *lesson.own, *lesson.own[:half]]
        reading = subject.read(rows, prompts, answers)
        clean, rest = _halves(reading, count)
        under_trigger, under_view = _halves(rest, count)
        parts = {
            "anchor": distillation(lesson.teacher, clean),
            "unlearn": distillation(lesson.teacher, under_trigger),
            "view": distillation(lesson.teacher[:half], under_view),
        }
        return parts["unlearn"] + self.anchor * parts["anchor"] + self.view * parts["view"], _numbers(parts)


def _stamped(lesson: Lesson, canvas: tuple[int, int], rng: torch.Generator) -> tuple[Tensor, list[str]]:
    """Each picture and its prompt under one of the triggers, varied."""
    rows, prompts = [], []
    for picture, prompt in zip(lesson.pictures, lesson.prompts, strict=True):
        choice = int(torch.randint(len(lesson.triggers), (), generator=rng))
        stamped, rewritten = apply(vary(lesson.triggers[choice], canvas, rng), picture[None], [prompt])
        rows.append(stamped[0])
        prompts += rewritten
    return torch.stack(rows), prompts


def _masked(pictures: Tensor, grid: tuple[int, int], lowest: float, highest: float, rng: torch.Generator) -> Tensor:
    """A view whose share of disturbed patches and whose fill are drawn for the batch."""
    share = lowest + (highest - lowest) * float(torch.rand((), generator=rng))
    fill = FILLS[int(torch.randint(len(FILLS), (), generator=rng))]
    others = pictures[torch.randperm(len(pictures), generator=rng)]
    return perturb(pictures, patch_masks(len(pictures), grid, share, rng), fill, rng, others)


METHODS: dict[str, type[Finetune] | type[Pcr] | type[Guided]] = {
    "finetune": Finetune,
    "pcr": Pcr,
    "guided": Guided,
}
