"""What a repair method is: frozen settings that edit the model, learn from batches of clean samples, or both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from auditor.checkpoint.subject import CheckpointSubject
from probes.inspectable import Weights
from probes.sample import Sample
from probes.subject import Reading, Tokens
from probes.triggers import Trigger
from probes.views import FILLS, patch_masks, perturb

Parts = dict[str, float]


@dataclass(frozen=True)
class Stamp:
    """A trigger to unlearn, whose target `follows` the subject's own answer or stands alone. Up to the budget
    `readable` a stamped picture must be answered rightly; beyond it there may be too little to see, and no more is
    asked than that the `forbidden` tokens of the target become unlikely."""

    trigger: Trigger
    forbidden: Tokens
    follows: bool
    readable: float


@dataclass(frozen=True)
class Lesson:
    """One batch to learn from, or one process's part of it.

    `numbers` are the rows' places in the whole batch and `rngs` their own sources of chance, so that a row is the same
    wherever it is learned. `pictures` (batch, 3, height, width) clean, in [0, 1]; `others` other clean pictures, one a
    row; `own` the subject's own clean answers before the repair, with their end; `references` the data's answers, or
    `own` where there are none; `teacher` (batch, positions, vocabulary) the log-probabilities of the subject before the
    repair on the clean pictures along `own`, empty where nothing is distilled; `sight` (batch, pieces, width) what it
    gave its language model of them, None where that is not known; `entropy` the mean entropy of those
    distributions over all samples, in nats; `stamps` what to unlearn.
    """

    numbers: list[int]
    rngs: list[torch.Generator]
    pictures: Tensor
    others: Tensor
    prompts: list[str]
    own: list[Tokens]
    references: list[Tokens]
    teacher: Tensor
    entropy: float
    sight: Tensor | None
    stamps: Sequence[Stamp]

    def part(self, number: int, of: int) -> "Lesson":
        """One of `of` equal parts, in order; the number of rows must be a multiple."""
        size = len(self.numbers) // of
        rows = slice(number * size, (number + 1) * size)
        return replace(
            self, numbers=self.numbers[rows], rngs=self.rngs[rows], pictures=self.pictures[rows],
            others=self.others[rows], prompts=self.prompts[rows], own=self.own[rows],
            references=self.references[rows], teacher=self.teacher[rows],
            sight=None if self.sight is None else self.sight[rows],
        )  # fmt: skip


class Method(Protocol):
    """A way to repair: `Editing`, `Learning`, or both, in this order. `name` is what the command line calls it."""

    @property
    def name(self) -> str: ...

    @property
    def needs_triggers(self) -> bool:
        """Whether it unlearns triggers that a scan recovered; then it is held to the subject's own answers."""
        ...

    @property
    def needs_base(self) -> bool:
        """Whether it takes weights from a clean model of the same architecture."""
        ...


@runtime_checkable
class Learning(Method, Protocol):
    """A method that is a loss: the loop takes its gradient, step by step."""

    def loss(self, subject: CheckpointSubject, lesson: Lesson) -> tuple[Tensor, Parts]:
        """The mean over the lesson's rows, with the parts that it is made of."""
        ...


@runtime_checkable
class Editing(Method, Protocol):
    """A method that changes weights by hand, once, before anything is learned."""

    def edit(self, subject: CheckpointSubject, samples: Sequence[Sample], base: Weights) -> Parts:
        """Edits the model in place and returns how much it changed; `base` is empty unless the method needs it."""
        ...


def numbers(parts: dict[str, Tensor]) -> Parts:
    return {name: float(value.detach()) for name, value in parts.items()}


def divided(reading: Reading, counts: Sequence[int]) -> list[Reading]:
    """Groups of rows that were read in one forward, in their order."""
    columns = [part.split(list(counts)) for part in (reading.log_probs, reading.features, reading.valid)]
    return [Reading(*group) for group in zip(*columns, strict=True)]


def masked(
    pictures: Tensor, lesson: Lesson, grid: tuple[int, int], lowest: float, highest: float, rows: Sequence[int]
) -> Tensor:
    """Views of the pictures, which belong to these rows of the lesson: (rows, 3, height, width). The share of disturbed
    patches, the patches and the fill are drawn for each."""
    views = []
    for picture, row in zip(pictures, rows, strict=True):
        rng = lesson.rngs[row]
        share = lowest + (highest - lowest) * float(torch.rand((), generator=rng))
        fill = FILLS[int(torch.randint(len(FILLS), (), generator=rng))]
        masks = patch_masks(1, grid, share, rng)
        views.append(perturb(picture[None], masks, fill, rng, lesson.others[row : row + 1])[0])
    return torch.stack(views)
