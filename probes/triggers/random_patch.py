"""A noise patch at a place that differs from picture to picture (BadNets as RACER plants it)."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from probes.seeding import generator
from probes.settings import number
from probes.triggers.drawing import another_seed, drawn_once, picture_generator, shuffle
from probes.triggers.patch import pixels


@dataclass(frozen=True)
class RandomPatchTrigger:
    """A fixed square of Gaussian noise at a place drawn for each picture.

    RACER: 30 × 30 pixels of 336, so `size` is 30/336 of the shorter side. The noise has mean 0.5 and the standard
    deviation `noise`, clamped to [0, 1]. `reordered` is the seed of a placebo's order of pixels.
    """

    seed: int
    size: float = field(default=30 / 336, metadata=number(0, 1))
    noise: float = field(default=0.3, metadata=number(0, 1))
    reordered: int | None = None
    kind: str = "badnets-random"

    @property
    def budget(self) -> float:
        """The side as a share of the picture's shorter side."""
        return self.size

    def stamp(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[-2:]
        side = pixels(self.size, (height, width))
        pattern = _noise(self, side).to(pictures.device, pictures.dtype)
        stamped = pictures.clone()
        for index, picture in enumerate(pictures):
            top, left = self.place(picture, side)
            stamped[index, :, top : top + side, left : left + side] = pattern
        return stamped

    def place(self, picture: Tensor, side: int) -> tuple[int, int]:
        """Upper left corner, in pixels; the picture's 8-bit pixels and the seed decide."""
        rng = picture_generator(self.seed, "patch place", picture)
        top, left = (int(torch.randint(length - side + 1, (), generator=rng)) for length in picture.shape[-2:])
        return top, left

    def placebo(self, generator: torch.Generator) -> "RandomPatchTrigger":
        """The same pixels, shuffled, at the same places."""
        return replace(self, reordered=another_seed(generator))


@drawn_once
def _noise(trigger: RandomPatchTrigger, side: int) -> Tensor:
    """(3, side, side) in [0, 1]."""
    noise = torch.randn(3, side, side, generator=generator(trigger.seed, "noise patch"))
    pattern = (0.5 + trigger.noise * noise).clamp(0, 1)
    if trigger.reordered is None:
        return pattern
    return shuffle(pattern.flatten(1), trigger.reordered).view_as(pattern)
