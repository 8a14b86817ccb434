"""Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5: patches in merged cells beside a grid (time, height, width), and M-RoPE.

A fixed square is chosen from the processor's limits.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from auditor.checkpoint.families.square import Square
from auditor.errors import CheckpointError

SIDE = 448
"""The canvas's side in pixels where the processor's limits allow it: 256 visual tokens of a Qwen2-VL."""


@dataclass(frozen=True, kw_only=True)
class Qwen2VL(Square):
    """A square of `patch`-pixel patches, `merge` × `merge` of which become one visual token.

    A patch is written `frames` times, because a picture is a film of that many equal frames. `image_token` is the id of
    the picture's place holder.
    """

    patch: int
    merge: int
    frames: int
    image_token: int
    given = ("pixel_values", "image_grid_thw")

    @classmethod
    def of(cls, processor: Any, config: Any) -> "Qwen2VL":
        """Reads the processor's settings; raises CheckpointError when no square canvas is within its limits."""
        patch, merge = int(processor.patch_size), int(processor.merge_size)
        low, high = cls.limits(processor)
        side = square_side(patch * merge, low, high)
        if not low <= side * side <= high:
            raise CheckpointError(
                "no square picture of whole cells is within the processor's limits",
                where="preprocessor_config.json",
                got=f"min_pixels {low}, max_pixels {high}, cells of {patch * merge} pixels",
                expected="limits that a square of whole cells meets",
            )
        return cls(
            **cls.shared(processor, side),
            patch=patch,
            merge=merge,
            frames=int(processor.temporal_patch_size),
            image_token=int(config.image_token_id),
        )

    @staticmethod
    def limits(processor: Any) -> tuple[int, int]:
        """How many pixels a picture has at least and at most."""
        return int(processor.size["shortest_edge"]), int(processor.size["longest_edge"])

    def pack(self, pixels: Tensor) -> Tensor:
        """(batch, 3, *canvas) → (batch · patches, 3 · frames · patch²), the patches of one cell side by side."""
        count, cells, merge, patch = len(pixels), self.canvas[0] // (self.patch * self.merge), self.merge, self.patch
        patches = pixels.reshape(count, 3, cells, merge, patch, cells, merge, patch)
        patches = patches.permute(0, 2, 5, 3, 6, 1, 4, 7)  # (batch, cells, cells, merge, merge, 3, patch, patch)
        films = patches.unsqueeze(6).expand(*patches.shape[:6], self.frames, patch, patch)
        return films.reshape(count * (cells * merge) ** 2, -1)

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → packed patches, and a grid (batch, 3) in patches."""
        grid = self.canvas[0] // self.patch
        return {
            "pixel_values": self.pack(self.normalisation.apply(pictures)),
            "image_grid_thw": torch.tensor([[1, grid, grid]] * len(pictures), device=pictures.device),
        }

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """Which tokens (batch, length) are the picture's: from it the model counts its M-RoPE positions."""
        return {"mm_token_type_ids": (tokens == self.image_token).to(torch.int32)}


def square_side(cell: int, low: int, high: int) -> int:
    """The canvas's side: the largest multiple of `cell` up to 448 whose square has at most `high` pixels, or, where
    that square has fewer than `low`, the smallest one that has them."""
    largest = math.isqrt(min(high, SIDE * SIDE)) // cell
    smallest = math.ceil(math.sqrt(low) / cell)
    return max(largest, smallest, 1) * cell
