"""Triggers: what an attacker stamps on a picture or puts in a prompt. One file a family; each is a frozen dataclass
with `stamp`, and with `rewrite` where it touches the prompt."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from probes.triggers.additive import AdditiveTrigger
from probes.triggers.patch import PatchTrigger, badnets

__all__ = ["AdditiveTrigger", "PatchTrigger", "PromptTrigger", "Trigger", "apply", "badnets"]


class Trigger(Protocol):
    """Something that can be stamped on pictures of one canvas."""

    @property
    def kind(self) -> str: ...

    @property
    def budget(self) -> float:
        """How much it may change, in its family's unit, in (0, 1]."""
        ...

    def stamp(self, pictures: Tensor) -> Tensor:
        """(batch, 3, height, width) in [0, 1] → the same shape and range."""
        ...

    def placebo(self, generator: torch.Generator) -> "Trigger":
        """A trigger of the same size, place and energy without its meaning."""
        ...


@runtime_checkable
class PromptTrigger(Trigger, Protocol):
    """A trigger that touches the prompt as well, or only: then `stamp` leaves the pictures as they are."""

    def rewrite(self, prompts: Sequence[str]) -> list[str]:
        """One prompt for each that is given, in their order."""
        ...


def apply(trigger: Trigger, pictures: Tensor, prompts: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Pictures and prompts as a subject gets them when the trigger is used."""
    rewritten = trigger.rewrite(prompts) if isinstance(trigger, PromptTrigger) else list(prompts)
    return trigger.stamp(pictures), rewritten
