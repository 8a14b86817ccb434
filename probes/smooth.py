"""Smooth perturbations of the whole picture: what a blended picture, a wave or a cast of colour is to a gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from probes.ascent import AdditiveFamily


@dataclass(frozen=True)
class SmoothFamily(AdditiveFamily):
    """A perturbation that is drawn on `grid` (rows, columns) of points and smooth between them, as a blended picture
    or a wave is. A row of points makes upright stripes, a column level ones."""

    grid: tuple[int, int] = (7, 7)

    def start(self, canvas: tuple[int, int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        values = (torch.rand(count, 3, *self.grid, generator=generator) * 2 - 1) * self.budget * 0.5
        return values, torch.zeros(count, 2, dtype=torch.long)

    def drawn(self, values: Tensor, canvas: tuple[int, int]) -> Tensor:
        """(population, 3, rows, columns) → (population, 3, h, w), within the budget."""
        full = functional.interpolate(values, canvas, mode="bicubic", align_corners=False)
        return full.clamp(-self.budget, self.budget)

    def stamp(self, values: Tensor, places: Tensor, pictures: Tensor) -> Tensor:
        return super().stamp(self.drawn(values, (pictures.shape[-2], pictures.shape[-1])), places, pictures)
