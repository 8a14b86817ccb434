"""Idefics3 and SmolVLM: one square tile (batch, 1, 3, h, w), its mask, and marks around the picture's tokens.

By default these processors also cut a large picture into tiles. A scan wants one canvas, so that a picture is given as
its one global tile, which is what the processor itself makes of it when image splitting is off; `notes` says so.
"""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import tensors
from auditor.checkpoint.preprocessing import Normalisation, filter_of, resize
from auditor.checkpoint.prompting import PictureText
from auditor.errors import CheckpointError

FAKE, GLOBAL = "<fake_token_around_image>", "<global-img>"
_LARGEST = 4096  # pixels; the processor's own bound on the first resize
_UNLIKE_PADDING = 1e-6


@dataclass(frozen=True)
class Idefics3:
    """Resize to a longest `edge` → squash to the square `canvas` → rescale → normalise."""

    canvas: tuple[int, int]
    edge: int
    resample: str
    normalisation: Normalisation
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, processor: Any, config: Any = None) -> "Idefics3":
        """Reads the processor's settings; raises CheckpointError when they are of another kind."""
        edge, side = processor.size.get("longest_edge"), processor.max_image_size.get("longest_edge")
        if not edge or not side or not getattr(processor, "do_resize", True):
            raise CheckpointError(
                "the image processor states no fixed picture size",
                where="preprocessor_config.json",
                got=f"size {processor.size}, max_image_size {processor.max_image_size}",
                expected="`size` and `max_image_size` with longest_edge",
            )
        split = bool(getattr(processor, "do_image_splitting", True))
        note = f"Image splitting is off: a picture is its one global tile of {side} × {side} pixels."
        return cls(
            canvas=(int(side), int(side)),
            edge=int(edge),
            resample=filter_of(processor),
            normalisation=Normalisation.of(processor),
            notes=(note,) if split else (),
        )

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) in [0, 1] → (3, *canvas) in [0, 1]; differentiable."""
        if tuple(picture.shape[-2:]) == self.canvas:
            return picture
        first = first_size(picture.shape[-2], picture.shape[-1], self.edge)
        return resize(resize(picture[None], first, self.resample), self.canvas, self.resample)[0].clamp(0, 1)

    def pack(self, pixels: Tensor) -> Tensor:
        """(batch, 3, *canvas) → (batch, 1, 3, *canvas).

        The model takes a tile of nothing but zeros, which a mid-grey picture is, for padding, and drops it; such a
        picture gets values that are nearly zero.
        """
        blank = (pixels == 0).flatten(1).all(dim=1).view(-1, 1, 1, 1)
        return torch.where(blank, pixels + _UNLIKE_PADDING, pixels).unsqueeze(1)

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → one tile each, and a mask (batch, 1, *canvas) that hides nothing."""
        return {
            "pixel_values": self.pack(self.normalisation.apply(pictures)),
            "pixel_attention_mask": torch.ones(
                len(pictures), 1, *self.canvas, dtype=torch.long, device=pictures.device
            ),
        }

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """None."""
        return {}

    def picture_text(self, tokenizer: Any) -> PictureText:
        """The marks of a picture that is not split, which the processor writes around its tokens."""
        fake = getattr(tokenizer, "fake_image_token", None) or FAKE
        whole = getattr(tokenizer, "global_image_token", None) or GLOBAL
        return PictureText(before=fake + whole, after=fake)

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture without splitting it."""
        made = processor(images=[picture], do_image_splitting=False, return_tensors="np")
        return tensors(made, "pixel_values", "pixel_attention_mask")


def first_size(height: int, width: int, edge: int) -> tuple[int, int]:
    """Height and width when the longer side becomes `edge` pixels and the other one even, as the processor rounds."""
    ratio = width / height
    if width >= height:
        wide, tall = edge, int(edge / ratio)
        tall += tall % 2
    else:
        tall, wide = edge, int(edge * ratio)
        wide += wide % 2
    tall, wide = max(tall, 1), max(wide, 1)
    ratio = wide / tall
    if wide >= tall and wide > _LARGEST:
        wide, tall = _LARGEST, int(_LARGEST / ratio)
    elif tall > wide and tall > _LARGEST:
        tall, wide = _LARGEST, int(_LARGEST * ratio)
    return max(tall, 1), max(wide, 1)
