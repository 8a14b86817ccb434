"""One perturbation added to every picture, bounded in every pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AdditiveTrigger:
    """`delta` (3, height, width), each value in [-budget, budget]; the picture's range stays [0, 1]."""

    delta: Tensor
    budget: float
    kind: str = "additive"

    def stamp(self, pictures: Tensor) -> Tensor:
        return (pictures + self.delta.to(pictures.device, pictures.dtype)).clamp(0, 1)

    def placebo(self, generator: torch.Generator) -> "AdditiveTrigger":
        """The same values at shuffled places: the same energy, no meaning."""
        order = torch.randperm(self.delta.numel(), generator=generator)
        return AdditiveTrigger(self.delta.flatten()[order].view_as(self.delta), self.budget)
