"""Triggers: what an attacker stamps on a picture. One file a family; each is a frozen dataclass with `stamp`."""

from typing import Protocol

import torch
from torch import Tensor

from probes.triggers.additive import AdditiveTrigger
from probes.triggers.patch import PatchTrigger, badnets

__all__ = ["AdditiveTrigger", "PatchTrigger", "Trigger", "badnets"]


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
