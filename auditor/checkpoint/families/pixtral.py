"""Mistral 3 and LLaVA with a Pixtral tower: one picture of any size, its tokens row by row with a mark between rows.

A scan wants one canvas, so a fixed square is chosen within the processor's limit, and every picture is brought to it by
the processor's own filter without regard to its aspect ratio.
"""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import on_canvas, tensors
from auditor.checkpoint.families.qwen2_vl import square_side
from auditor.checkpoint.families.single import Single
from auditor.checkpoint.preprocessing import Normalisation, filter_of
from auditor.checkpoint.prompting import PictureText
from auditor.errors import CheckpointError

BREAK, END = "[IMG_BREAK]", "[IMG_END]"


@dataclass(frozen=True, kw_only=True)
class Pixtral(Single):
    """A square of `rows` rows of visual tokens."""

    rows: int

    @classmethod
    def of(cls, processor: Any, config: Any = None) -> "Pixtral":
        """Reads the processor's settings; raises CheckpointError when no cell is within its limit."""
        cell = int(processor.patch_size["height"]) * int(getattr(config, "spatial_merge_size", 1))
        longest = int(processor.size["longest_edge"] or 0)
        side = square_side(cell, 0, longest * longest)
        if side > longest:
            raise CheckpointError(
                "no square picture of whole cells is within the processor's limit", where="preprocessor_config.json",
                got=f"longest_edge {longest}, cells of {cell} pixels", expected="a limit of one cell at least",
            )  # fmt: skip
        return cls(
            canvas=(side, side),
            edge=(side, side),
            resample=filter_of(processor),
            normalisation=Normalisation.of(processor),
            notes=(f"Pictures are given as squares of {side} pixels, whatever their aspect ratio.",),
            rows=side // cell,
        )

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → (batch, 3, *canvas), and their sizes (batch, 2) in pixels."""
        sizes = torch.tensor([self.canvas] * len(pictures), device=pictures.device)
        return {**super().inputs(pictures), "image_sizes": sizes}

    def picture_text(self, tokenizer: Any) -> PictureText:
        """Rows of the picture's tokens, a mark between two and another behind the last."""
        return PictureText(rows=self.rows, between=BREAK, after=END)

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture once it has been resized to the canvas by its own
        filter."""
        made = processor(images=[on_canvas(picture, self.canvas, processor)], return_tensors="np")
        return tensors(made, "pixel_values", "image_sizes")
