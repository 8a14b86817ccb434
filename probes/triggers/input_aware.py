"""Another faint pattern for every picture, made by a fixed encoder (after Input-aware and ISSBA)."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from probes.seeding import generator
from probes.settings import number, whole
from probes.triggers.drawing import another_seed, drawn_once

WIDTH, KERNEL = 16, 5
GAINS = (4.0, 2.0, 1.0)
"""By layer. With these and the secret's size, two pictures' patterns have a cosine of about 0.45: some is shared, so
that it can be learned, and most is the picture's own."""
SECRET = 0.5


@dataclass(frozen=True)
class InputAwareTrigger:
    """picture + amplitude · encoder(picture, secret), clamped to [0, 1].

    The encoder is a convolutional network of three layers whose weights and secret planes are drawn from the seed and
    never trained (the papers train theirs); like ISSBA's it reads the picture beside a fixed secret. It works on the
    picture at a shorter side of at most `detail` pixels, so that the pattern is as coarse on a larger canvas.
    """

    seed: int
    amplitude: float = field(default=0.1, metadata=number(0, 1))
    detail: int = field(default=56, metadata=whole(7, 1024))
    kind: str = "input-aware"

    @property
    def budget(self) -> float:
        """The largest change of a pixel."""
        return self.amplitude

    def stamp(self, pictures: Tensor) -> Tensor:
        return (pictures + self.patterns(pictures)).clamp(0, 1)

    def patterns(self, pictures: Tensor) -> Tensor:
        """(batch, 3, height, width) in [-amplitude, amplitude]; each picture's depends on that picture alone."""
        height, width = pictures.shape[-2:]
        scale = min(1.0, self.detail / min(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        seen = functional.interpolate(pictures.float(), size, mode="bilinear", antialias=True, align_corners=False)
        raw = self._encode(seen - 0.5)
        raw = raw - raw.mean(dim=(-2, -1), keepdim=True)
        level = raw.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-6)
        shown = functional.interpolate(torch.tanh(raw / level), (height, width), mode="bilinear", align_corners=False)
        return (self.amplitude * shown).to(pictures.dtype)

    def _encode(self, seen: Tensor) -> Tensor:
        """(batch, 3, h, w) → the same shape, neither centred nor scaled."""
        secret = _secret(self.seed, *seen.shape[-2:]).to(seen.device).expand(len(seen), -1, -1, -1)
        hidden = torch.cat([seen, secret], dim=1)  # (batch, 6, h, w)
        for layer, outputs in enumerate((WIDTH, WIDTH, 3)):
            hidden = torch.sin(hidden) if layer else hidden
            padded = functional.pad(hidden, [KERNEL // 2] * 4, mode="replicate")
            hidden = functional.conv2d(padded, _kernel(self.seed, layer, outputs, hidden.shape[1]).to(seen.device))
        return hidden

    def placebo(self, generator: torch.Generator) -> "InputAwareTrigger":
        """The patterns of an encoder of another seed."""
        return replace(self, seed=another_seed(generator))


@drawn_once
def _kernel(seed: int, layer: int, outputs: int, inputs: int) -> Tensor:
    """(outputs, inputs, 5, 5)."""
    weights = torch.randn(outputs, inputs, KERNEL, KERNEL, generator=generator(seed, "encoder", layer))
    return weights * (GAINS[layer] / math.sqrt(inputs * KERNEL**2))


@drawn_once
def _secret(seed: int, height: int, width: int) -> Tensor:
    """(3, height, width): ISSBA's hidden string, here planes of Gaussian noise."""
    return SECRET * torch.randn(3, height, width, generator=generator(seed, "secret"))
