"""Gemma 4: a picture as one row of patches with their places, padded to the most that there may be.

This processor keeps a picture's aspect ratio within a number of patches; the largest square of whole cells is taken.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from auditor.checkpoint.families.square import Square
from auditor.checkpoint.prompting import PictureText

BEGIN, END = "<|image>", "<image|>"


@dataclass(frozen=True, kw_only=True)
class Gemma4(Square):
    """A square of `patch`-pixel patches, of which a row has room for `most`; `image_token` is the id of the
    picture's place holder."""

    patch: int
    most: int
    image_token: int
    given = ("pixel_values", "image_position_ids")

    @classmethod
    def of(cls, processor: Any, config: Any) -> "Gemma4":
        """Reads the processor's settings."""
        cell = int(processor.patch_size) * int(processor.pooling_kernel_size)
        return cls(
            **cls.shared(processor, math.isqrt(int(processor.max_soft_tokens)) * cell),
            patch=int(processor.patch_size),
            most=int(processor.max_soft_tokens) * int(processor.pooling_kernel_size) ** 2,
            image_token=int(config.image_token_id),
        )

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
