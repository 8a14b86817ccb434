"""A border around the picture, every pixel of which is free: what a search makes of a frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from probes.triggers.patch import pixels


@dataclass(frozen=True)
class BorderTrigger:
    """`pattern` (3, height, width) in [0, 1], of which a border is seen; `budget` is its width as a share of the
    shorter side."""

    pattern: Tensor
    budget: float
    kind: str = "frame"

    def stamp(self, pictures: Tensor) -> Tensor:
        pattern = self.pattern.to(pictures.device, pictures.dtype)
        return torch.where(border(self.budget, pattern), pattern, pictures)

    def placebo(self, generator: torch.Generator) -> "BorderTrigger":
        """A border of the same width and pixels, which are shuffled."""
        order = torch.randperm(self.pattern[0].numel(), generator=generator)
        return BorderTrigger(self.pattern.flatten(1)[:, order].view_as(self.pattern), self.budget)


def border(width: float, like: Tensor) -> Tensor:
    """(height, width) bool, as large as the last two dimensions of `like`: what is at the border."""
    height, across = like.shape[-2:]
    side = pixels(width, (height, across))
    found = torch.ones(height, across, dtype=torch.bool, device=like.device)
    found[side : height - side, side : across - side] = False
    return found
