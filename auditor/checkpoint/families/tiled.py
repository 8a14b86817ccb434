"""LLaVA-NeXT and LLaVA-OneVision: a picture as a whole and again in tiles, side by side.

These processors choose a grid of tiles by a picture's shape. A scan wants one canvas, so the smallest square grid is
taken, and every picture is brought to it by the processor's own filter without regard to its aspect ratio.
"""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import on_canvas, tensors
from auditor.checkpoint.preprocessing import Normalisation, filter_of, resize, resize_smoothly
from auditor.checkpoint.prompting import PictureText
from auditor.errors import CheckpointError


@dataclass(frozen=True)
class Tiled:
    """A square `canvas` of tiles of `tile` × `tile` pixels."""

    canvas: tuple[int, int]
    tile: int
    resample: str
    normalisation: Normalisation
    notes: tuple[str, ...] = ()

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
        return cls(
            canvas=(side, side),
            tile=tile,
            resample=filter_of(processor),
            normalisation=Normalisation.of(processor),
            notes=(
                f"Pictures are given as squares of {side} pixels, whatever their aspect ratio: as a whole, and in "
                f"{(side // tile) ** 2} tile(s) of {tile} pixels.",
            ),
        )

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) in [0, 1] → (3, *canvas) in [0, 1]; differentiable."""
        if tuple(picture.shape[-2:]) == self.canvas:
            return picture
        return resize(picture[None], self.canvas, self.resample)[0].clamp(0, 1)

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

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """None."""
        return {}

    def picture_text(self, tokenizer: Any) -> PictureText:
        """The picture's tokens alone."""
        return PictureText()

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture once it has been resized to the canvas by its own
        filter."""
        made = processor(images=[on_canvas(picture, self.canvas, processor)], return_tensors="np")
        return tensors(made, "pixel_values", "image_sizes")
