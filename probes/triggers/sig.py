"""A faint horizontal sinusoid over the whole picture (SIG, Barni et al. 2019)."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.seeding import generator
from probes.settings import number
from probes.triggers.drawing import another_seed, drawn_once, shuffle


@dataclass(frozen=True)
class SigTrigger:
    """picture + amplitude · sin(2π · (cycles · x / width + phase)), clamped to [0, 1].

    The paper's wave starts at phase 0; here the seed draws the phase, which is arbitrary. `reordered` is the seed of a
    placebo's order of columns.
    """

    seed: int
    amplitude: float = field(default=40 / 255, metadata=number(0, 1))
    cycles: float = field(default=6.0, metadata=number(0, 1000))
    reordered: int | None = None
    kind: str = "sig"

    @property
    def budget(self) -> float:
        """The largest change of a pixel."""
        return self.amplitude

    def stamp(self, pictures: Tensor) -> Tensor:
        return (pictures + _wave(self, pictures.shape[-1]).to(pictures.device, pictures.dtype)).clamp(0, 1)

    def placebo(self, generator: torch.Generator) -> "SigTrigger":
        """The same columns in another order: no wave."""
        return replace(self, reordered=another_seed(generator))


@drawn_once
def _wave(trigger: SigTrigger, width: int) -> Tensor:
    """(width,) in [-amplitude, amplitude]."""
    phase = float(torch.rand((), generator=generator(trigger.seed, "sig phase")))
    turns = trigger.cycles * torch.arange(width, dtype=torch.float64) / width + phase
    wave = (trigger.amplitude * torch.sin(2 * math.pi * turns)).float()
    return wave if trigger.reordered is None else shuffle(wave, trigger.reordered)
