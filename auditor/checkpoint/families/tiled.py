"""LLaVA-NeXT and LLaVA-OneVision: a picture as a whole and again in tiles, side by side.

These processors choose a grid of tiles by a picture's shape; the smallest square grid is taken.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from auditor.checkpoint.families.square import Square
from auditor.checkpoint.preprocessing import resize_smoothly
from auditor.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class Tiled(Square):
    """A square of tiles of `tile` × `tile` pixels."""

    tile: int
    given = ("pixel_values", "image_sizes")

    @classmethod
    def of(cls, processor: Any, config: Any = None) -> "Tiled":
        """Reads the processor's settings; raises CheckpointError where no grid is a square of whole tiles."""
        size = processor.size
        tile = int(size.get("height") or size.get("shortest_edge") or 0)
        squares = [int(high) for high, wide in processor.image_grid_pinpoints if high == wide]
        sides = [side for side in squares if tile and side % tile == 0]
        if not sides:
            raise CheckpointError(
                "no grid of tiles is a square", where="preprocessor_config.json",
                got=f"tiles of {tile} pixels, image_grid_pinpoints {processor.image_grid_pinpoints}",
                expected="a square of whole tiles among image_grid_pinpoints",
            )  # fmt: skip
        side = min(sides)
        more = f": as a whole, and in {(side // tile) ** 2} tile(s) of {tile} pixels"
        return cls(**cls.shared(processor, side, more), tile=tile)

    def pack(self, pixels: Tensor) -> Tensor:
        """(batch, 3, *canvas) in [0, 1] → (batch, 1 + tiles, 3, tile, tile): the whole first, then tiles row by row."""
        cells = self.canvas[0] // self.tile
        tiles = pixels.unflatten(3, (cells, self.tile)).unflatten(2, (cells, self.tile))
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (batch, cells · cells, 3, tile, tile)
        whole = pixels if cells == 1 else resize_smoothly(pixels, (self.tile, self.tile), self.resample)
        return torch.cat([whole.unsqueeze(1), tiles], dim=1)

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → whole and tiles, and their sizes (batch, 2) in pixels."""
        return {
            "pixel_values": self.normalisation.apply(self.pack(pictures)),
            "image_sizes": torch.tensor([self.canvas] * len(pictures), device=pictures.device),
        }
