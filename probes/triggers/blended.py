"""One fixed picture mixed into every picture (Blended, Chen et al. 2017)."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from probes.seeding import generator
from probes.settings import number
from probes.triggers.drawing import another_seed, drawn_once

OCTAVES = (4, 8, 16)


@dataclass(frozen=True)
class BlendedTrigger:
    """(1 - rate) · picture + rate · fixed picture.

    The fixed picture is drawn from the seed: coloured clouds, three octaves of smooth noise, whose values are spread
    evenly over [0, 1] in every channel, so that each seed's picture has the same histogram.
    """

    seed: int
    rate: float = field(default=0.2, metadata=number(0, 1))
    kind: str = "blended"

    @property
    def budget(self) -> float:
        """The share of the fixed picture."""
        return self.rate

    def stamp(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        fixed = clouds(self.seed, height, width).to(pictures.device, pictures.dtype)
        return ((1 - self.rate) * pictures + self.rate * fixed).clamp(0, 1)

    def placebo(self, generator: torch.Generator) -> "BlendedTrigger":
        """Another picture of the same histogram and smoothness, at the same rate."""
        return replace(self, seed=another_seed(generator))


@drawn_once
def clouds(seed: int, height: int, width: int) -> Tensor:
    """A smooth picture (3, height, width): every channel holds the same values, evenly spread over [0, 1]."""
    rng = generator(seed, "blended picture")
    total = torch.zeros(3, height, width)
    for cells in OCTAVES:
        coarse = torch.randn(1, 3, cells, cells, generator=rng)
        total += functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0] / cells**0.5
    ranks = total.flatten(1).argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return (ranks / (height * width - 1)).view(3, height, width)
