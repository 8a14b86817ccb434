"""A small square pasted over every picture (BadNets, Gu et al. 2017)."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from probes.settings import choice, number

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")


@dataclass(frozen=True)
class PatchTrigger:
    """`pattern` (3, side, side) in [0, 1], pasted with its upper left corner at (`top`, `left`), in pixels."""

    pattern: Tensor
    top: int
    left: int
    budget: float
    kind: str = "patch"

    def stamp(self, pictures: Tensor) -> Tensor:
        height, width = self.pattern.shape[-2:]
        stamped = pictures.clone()
        window = (..., slice(self.top, self.top + height), slice(self.left, self.left + width))
        stamped[window] = self.pattern.to(pictures.device, pictures.dtype)
        return stamped

    def placebo(self, generator: torch.Generator) -> "PatchTrigger":
        """The same pixels, shuffled, at the same place."""
        channels, height, width = self.pattern.shape
        order = torch.randperm(height * width, generator=generator)
        pattern = self.pattern.reshape(channels, -1)[:, order].view(channels, height, width)
        return PatchTrigger(pattern, self.top, self.left, self.budget)


def badnets(canvas: tuple[int, int], side: int, seed: int, corner: str = "bottom-right") -> PatchTrigger:
    """A square of random saturated 2 × 2-pixel cells in a fixed corner; the default of published BadNets plants.

    `side` in pixels; `corner` is one of top-left, top-right, bottom-left, bottom-right.
    """
    cells = -(-side // 2)
    colours = torch.randint(0, 2, (3, cells, cells), generator=torch.Generator().manual_seed(seed)).float()
    pattern = colours.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :side, :side]
    vertical, horizontal = corner.split("-")
    top = 0 if vertical == "top" else canvas[0] - side
    left = 0 if horizontal == "left" else canvas[1] - side
    return PatchTrigger(pattern, top, left, budget=side / min(canvas))


def pixels(share: float, canvas: tuple[int, int]) -> int:
    """A length given as a share of the picture's shorter side, at least one pixel."""
    return min(min(canvas), max(1, round(share * min(canvas))))


@dataclass(frozen=True)
class BadNets:
    """Settings of a patch of 4 × 4 saturated cells in a fixed corner; `size` is a share of the picture's shorter side.

    On a canvas of 56 pixels the default is `badnets` with a side of 8; on a larger one its cells grow as well.
    """

    size: float = field(default=1 / 7, metadata=number(0, 1))
    corner: str = field(default="bottom-right", metadata=choice(*CORNERS))

    def build(self, canvas: tuple[int, int], seed: int) -> PatchTrigger:
        side = pixels(self.size, canvas)
        cells = badnets(canvas, 8, seed).pattern[:, ::2, ::2]  # (3, 4, 4)
        pattern: Tensor = functional.interpolate(cells[None], (side, side), mode="nearest")[0]
        return replace(badnets(canvas, side, seed, self.corner), pattern=pattern)
