"""InternVL: one square tile, with marks around its tokens.

By default this processor also cuts a large picture into up to twelve tiles. A scan wants one canvas, so a picture is
given as its one tile, which is what the processor makes of it with `crop_to_patches` off; `notes` says so.
"""

from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import tensors
from auditor.checkpoint.families.single import Single
from auditor.checkpoint.prompting import PictureText

BEGIN, END = "<img>", "</img>"


@dataclass(frozen=True)
class InternVL(Single):
    """As its tile alone."""

    @classmethod
    def of(cls, processor: Any, config: Any = None) -> "InternVL":
        """Reads the processor's settings; raises CheckpointError when they fix no size."""
        single = Single.of(processor)
        note = f"Pictures are not cut into tiles: each is one of {single.canvas[0]} × {single.canvas[1]} pixels."
        return cls(**vars(single) | {"notes": (note,)})

    def picture_text(self, tokenizer: Any) -> PictureText:
        """The marks that the processor writes around the picture's tokens."""
        begin = getattr(tokenizer, "start_image_token", None) or BEGIN
        end = getattr(tokenizer, "end_image_token", None) or END
        return PictureText(before=begin, after=end)

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture without cutting it."""
        return tensors(processor(images=[picture], crop_to_patches=False, return_tensors="np"), "pixel_values")
