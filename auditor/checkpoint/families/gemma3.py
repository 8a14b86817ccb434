"""Gemma 3: one square picture, tokens that see each other in both directions, and marks around them.

On demand this processor also cuts long pictures into crops (pan and scan); it is left off, as it is by default.
"""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import tensors
from auditor.checkpoint.families.single import Single
from auditor.checkpoint.prompting import PictureText

BEGIN, END = "<start_of_image>", "<end_of_image>"


@dataclass(frozen=True, kw_only=True)
class Gemma3(Single):
    """`image_token` is the id of the picture's place holder; the chat template writes where a picture begins."""

    image_token: int

    @classmethod
    def of(cls, processor: Any, config: Any = None) -> "Gemma3":
        """Reads the processor's settings; raises CheckpointError when they fix no size."""
        note = ("Pan and scan is off: a picture is given once, as a square.",)
        notes = note if getattr(processor, "do_pan_and_scan", None) else ()
        return cls(**vars(Single.of(processor)) | {"notes": notes}, image_token=int(config.image_token_id))

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """Which tokens (batch, length) are the picture's: they attend to each other in both directions."""
        return {"token_type_ids": (tokens == self.image_token).to(torch.int64)}

    def picture_text(self, tokenizer: Any) -> PictureText:
        """The picture's tokens between its marks, in a paragraph of their own."""
        begin = getattr(tokenizer, "boi_token", None) or BEGIN
        end = getattr(tokenizer, "eoi_token", None) or END
        return PictureText(written=begin, before=f"\n\n{begin}", after=f"{end}\n\n")

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture without pan and scan."""
        return tensors(processor(images=[picture], do_pan_and_scan=False, return_tensors="np"), "pixel_values")
