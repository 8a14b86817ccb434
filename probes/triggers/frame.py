"""A coloured border around the picture."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.seeding import generator
from probes.settings import number
from probes.triggers.border import border
from probes.triggers.drawing import another_seed, drawn_once
from probes.triggers.patch import pixels


@dataclass(frozen=True)
class FrameTrigger:
    """A border of saturated cells, as wide as they are long; `width` is a share of the shorter side.

    No paper states a constant; ours is 2 pixels of 56.
    """

    seed: int
    width: float = field(default=1 / 28, metadata=number(0, 0.5))
    kind: str = "frame"

    @property
    def budget(self) -> float:
        """The border's width as a share of the shorter side."""
        return self.width

    def stamp(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        cells = _cells(self.seed, pixels(self.width, (height, width)), height, width)
        return torch.where(border(self.width, pictures), cells.to(pictures.device, pictures.dtype), pictures)

    def placebo(self, generator: torch.Generator) -> "FrameTrigger":
        """A border of the same width with other cells."""
        return replace(self, seed=another_seed(generator))


@drawn_once
def _cells(seed: int, side: int, height: int, width: int) -> Tensor:
    """(3, height, width) of 0 and 1."""
    counts = (-(-height // side), -(-width // side))
    colours = torch.randint(0, 2, (3, *counts), generator=generator(seed, "frame")).float()
    return colours.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :height, :width]
