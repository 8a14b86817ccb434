"""A tint over the whole picture, as a wrong white balance makes it."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.seeding import generator
from probes.settings import number
from probes.triggers.drawing import drawn_once


@dataclass(frozen=True)
class ColourCastTrigger:
    """Each channel is shifted by up to `strength` towards a hue that the seed draws; the mean over channels stays.

    No paper states a constant; ours is SIG's amplitude. `turned` moves a placebo's hue, in turns.
    """

    seed: int
    strength: float = field(default=40 / 255, metadata=number(0, 1))
    turned: float = 0.0
    kind: str = "colour-cast"

    @property
    def budget(self) -> float:
        """The largest change of a pixel."""
        return self.strength

    def stamp(self, pictures: Tensor) -> Tensor:
        return (pictures + _shift(self).to(pictures.device, pictures.dtype)).clamp(0, 1)

    def placebo(self, generator: torch.Generator) -> "ColourCastTrigger":
        """As strong a tint of another hue, at least a quarter turn away."""
        return replace(self, turned=self.turned + 0.25 + 0.5 * float(torch.rand((), generator=generator)))


@drawn_once
def _shift(trigger: ColourCastTrigger) -> Tensor:
    """(3, 1, 1), which sums to zero; the same length for every hue."""
    hue = float(torch.rand((), generator=generator(trigger.seed, "hue"))) + trigger.turned
    angles = 2 * math.pi * (hue - torch.arange(3) / 3)
    return (trigger.strength * torch.cos(angles))[:, None, None]
