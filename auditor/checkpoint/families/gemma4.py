"""Gemma 4: a picture as one row of patches with their places, padded to the most that there may be.

This processor keeps a picture's aspect ratio within a number of patches. A scan wants one canvas, so the largest square
of whole cells is taken, and every picture is brought to it by the processor's own filter.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from auditor.checkpoint.families.comparing import on_canvas, tensors
from auditor.checkpoint.preprocessing import Normalisation, filter_of, resize
from auditor.checkpoint.prompting import PictureText

BEGIN, END = "<|image>", "<image|>"


@dataclass(frozen=True)
class Gemma4:
    """A square `canvas` of `patch`-pixel patches, of which a row has room for `most`; `image_token` is the id of the
    picture's place holder."""

    canvas: tuple[int, int]
    patch: int
    most: int
    image_token: int
    resample: str
    normalisation: Normalisation
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, processor: Any, config: Any) -> "Gemma4":
        """Reads the processor's settings."""
        cell = int(processor.patch_size) * int(processor.pooling_kernel_size)
        side = math.isqrt(int(processor.max_soft_tokens)) * cell
        return cls(
            canvas=(side, side),
            patch=int(processor.patch_size),
            most=int(processor.max_soft_tokens) * int(processor.pooling_kernel_size) ** 2,
            image_token=int(config.image_token_id),
            resample=filter_of(processor),
            normalisation=Normalisation.of(processor),
            notes=(f"Pictures are given as squares of {side} pixels, whatever their aspect ratio.",),
        )

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) in [0, 1] → (3, *canvas) in [0, 1]; differentiable."""
        if tuple(picture.shape[-2:]) == self.canvas:
            return picture
        return resize(picture[None], self.canvas, self.resample)[0].clamp(0, 1)

    def pack(self, pixels: Tensor) -> Tensor:
        """(batch, 3, *canvas) → (batch, most, patch² · 3), row by row, colours innermost; zeros behind the picture."""
        cells = self.canvas[0] // self.patch
        patches = pixels.unflatten(3, (cells, self.patch)).unflatten(2, (cells, self.patch))
        rows = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # (batch, cells · cells, patch² · 3)
        return pad(rows, (0, 0, 0, self.most - cells**2))

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → packed patches, and the place (column, row) of each; -1 behind."""
        cells = self.canvas[0] // self.patch
        along = torch.arange(cells, device=pictures.device)
        places = torch.stack([along.repeat(cells), along.repeat_interleave(cells)], dim=-1)
        places = pad(places, (0, 0, 0, self.most - cells**2), value=-1)
        return {
            "pixel_values": self.pack(self.normalisation.apply(pictures)),
            "image_position_ids": places.expand(len(pictures), -1, -1),
        }

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """Which tokens (batch, length) are the picture's: in the larger models they see each other."""
        return {"mm_token_type_ids": (tokens == self.image_token).to(torch.int64)}

    def picture_text(self, tokenizer: Any) -> PictureText:
        """The picture's tokens between its marks."""
        begin = getattr(tokenizer, "boi_token", None) or BEGIN
        end = getattr(tokenizer, "eoi_token", None) or END
        return PictureText(before=begin, after=end)

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture once it has been resized to the canvas by its own
        filter."""
        made = processor(images=[on_canvas(picture, self.canvas, processor)], return_tensors="np")
        return tensors(made, "pixel_values", "image_position_ids")
