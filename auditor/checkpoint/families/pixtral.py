"""Mistral 3 and LLaVA with a Pixtral tower: one picture of any size, its tokens row by row with a mark between rows."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from auditor.checkpoint.families.qwen2_vl import square_side
from auditor.checkpoint.families.square import Square
from auditor.checkpoint.prompting import PictureText
from auditor.errors import CheckpointError

BREAK, END = "[IMG_BREAK]", "[IMG_END]"


@dataclass(frozen=True, kw_only=True)
class Pixtral(Square):
    """A square of `rows` rows of visual tokens."""

    rows: int
    given = ("pixel_values", "image_sizes")

    @classmethod
    def of(cls, processor: Any, config: Any) -> "Pixtral":
        """Reads the processor's settings; raises CheckpointError when no cell is within its limit."""
        cell = int(processor.patch_size["height"]) * int(getattr(config, "spatial_merge_size", 1))
        longest = int(processor.size["longest_edge"] or 0)
        side = square_side(cell, 0, longest * longest)
        if side > longest:
            raise CheckpointError(
                "no square picture of whole cells is within the processor's limit", where="preprocessor_config.json",
                got=f"longest_edge {longest}, cells of {cell} pixels", expected="a limit of one cell at least",
            )  # fmt: skip
        return cls(**cls.shared(processor, side), rows=side // cell)

    def pack(self, pixels: Tensor) -> Tensor:
        """Normalised pixels as they are."""
        return pixels

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → (batch, 3, *canvas), and their sizes (batch, 2) in pixels."""
        return {
            "pixel_values": self.normalisation.apply(pictures),
            "image_sizes": torch.tensor([self.canvas] * len(pictures), device=pictures.device),
        }

    def picture_text(self, tokenizer: Any) -> PictureText:
        """Rows of the picture's tokens, a mark between two and another behind the last."""
        return PictureText(rows=self.rows, between=BREAK, after=END)
