"""Families whose processors give every picture a size of its own: here all are brought to one square canvas.

The processor's own filter does it, without regard to the aspect ratio: nothing at the border, where triggers sit, is
cut away.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import on_canvas, tensors
from auditor.checkpoint.preprocessing import Normalisation, filter_of, resize
from auditor.checkpoint.prompting import PictureText


@dataclass(frozen=True, kw_only=True)
class Square:
    """What such families share; `given` names what their processors make of a picture."""

    canvas: tuple[int, int]
    resample: str
    normalisation: Normalisation
    notes: tuple[str, ...]
    given: ClassVar[tuple[str, ...]]

    @staticmethod
    def shared(processor: Any, side: int, more: str = "") -> dict[str, Any]:
        """The fields of a square of `side` pixels; `more` is said of it in the record."""
        return {
            "canvas": (side, side),
            "resample": filter_of(processor),
            "normalisation": Normalisation.of(processor),
            "notes": (f"Pictures are given as squares of {side} pixels, whatever their aspect ratio{more}.",),
        }

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) in [0, 1] → (3, *canvas) in [0, 1]; differentiable."""
        if tuple(picture.shape[-2:]) == self.canvas:
            return picture
        return resize(picture[None], self.canvas, self.resample)[0].clamp(0, 1)

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
        return tensors(made, *self.given)
