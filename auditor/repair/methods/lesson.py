"""What a repair method is: frozen settings that edit the model, learn from batches of clean samples, or both."""

from collections.abc import Sequence
from dataclasses import dataclass
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
class Lesson:
    """One batch to learn from.

    `pictures` (batch, 3, height, width) clean, in [0, 1]; `own` the subject's own clean answers before the repair, with
    their end; `references` the data's answers, or `own` where there are none; `teacher` (batch, positions, vocabulary)
    the log-probabilities of the subject before the repair on the clean pictures along `own`, empty where nothing is
    distilled; `entropy` the mean entropy of those distributions over all samples, in nats; `triggers` what to unlearn.
    """

    pictures: Tensor
    prompts: list[str]
    own: list[Tokens]
    references: list[Tokens]
    teacher: Tensor
    entropy: float
    triggers: Sequence[Trigger]


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

    def loss(self, subject: CheckpointSubject, lesson: Lesson, rng: torch.Generator) -> tuple[Tensor, Parts]: ...


@runtime_checkable
class Editing(Method, Protocol):
    """A method that changes weights by hand, once, before anything is learned."""

    def edit(self, subject: CheckpointSubject, samples: Sequence[Sample], base: Weights) -> Parts:
        """Edits the model in place and returns how much it changed; `base` is empty unless the method needs it."""
        ...


def numbers(parts: dict[str, Tensor]) -> Parts:
    return {name: float(value.detach()) for name, value in parts.items()}


def halves(reading: Reading, count: int) -> tuple[Reading, Reading]:
    """Both views were read in one forward: the first `count` rows are the untouched ones."""
    first = Reading(reading.log_probs[:count], reading.features[:count], reading.valid[:count])
    second = Reading(reading.log_probs[count:], reading.features[count:], reading.valid[count:])
    return first, second


def masked(pictures: Tensor, grid: tuple[int, int], lowest: float, highest: float, rng: torch.Generator) -> Tensor:
    """A view whose share of disturbed patches and whose fill are drawn for the batch."""
    share = lowest + (highest - lowest) * float(torch.rand((), generator=rng))
    fill = FILLS[int(torch.randint(len(FILLS), (), generator=rng))]
    others = pictures[torch.randperm(len(pictures), generator=rng)]
    return perturb(pictures, patch_masks(len(pictures), grid, share, rng), fill, rng, others)
