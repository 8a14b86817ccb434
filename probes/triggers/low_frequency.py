"""A smooth pattern made of the lowest frequencies alone, added in the DCT domain (LowFrequency)."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.seeding import generator
from probes.settings import number, whole
from probes.triggers.drawing import another_seed, drawn_once


@dataclass(frozen=True)
class LowFrequencyTrigger:
    """Random amounts added to the DCT coefficients up to `band` in both directions, but for the mean.

    The transform is linear, so this adds one fixed smooth pattern, whose root mean square over pixels is `strength`
    whatever the seed and the canvas. The papers state no constant in pixels; ours is half of SIG's amplitude.
    """

    seed: int
    strength: float = field(default=20 / 255, metadata=number(0, 0.5))
    band: int = field(default=4, metadata=whole(0, 8))
    kind: str = "low-frequency"

    @property
    def budget(self) -> float:
        """The root mean square change of a pixel."""
        return self.strength

    def stamp(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        return (pictures + _pattern(self, height, width).to(pictures.device, pictures.dtype)).clamp(0, 1)

    def placebo(self, generator: torch.Generator) -> "LowFrequencyTrigger":
        """Other amounts at the same frequencies, of the same energy."""
        return replace(self, seed=another_seed(generator))


@drawn_once
def _pattern(trigger: LowFrequencyTrigger, height: int, width: int) -> Tensor:
    """(3, height, width)."""
    count = trigger.band + 1
    amounts = torch.randn(3, count, count, generator=generator(trigger.seed, "low frequencies")).double()
    amounts[:, 0, 0] = 0
    pattern = dct_matrix(height)[:count].T @ amounts @ dct_matrix(width)[:count]
    return (pattern * trigger.strength / pattern.square().mean().sqrt()).float()


def dct_matrix(size: int) -> Tensor:
    """(size, size) float64, orthonormal DCT-II: row k is the basis wave of frequency k."""
    places = torch.arange(size, dtype=torch.float64) + 0.5
    waves = torch.cos(math.pi / size * torch.arange(size, dtype=torch.float64)[:, None] * places)
    waves[0] /= math.sqrt(2)
    return waves * math.sqrt(2 / size)
