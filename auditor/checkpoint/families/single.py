"""LLaVA and its like: a picture is resized and cropped to one fixed size and given as one tensor (batch, 3, h, w).

This is also the generic path: any family whose processor does just that opens by it.
"""

from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from auditor.checkpoint.families.comparing import tensors
from auditor.checkpoint.preprocessing import Normalisation, centre_crop, filter_of, resize
from auditor.checkpoint.prompting import PictureText
from auditor.errors import CheckpointError


@dataclass(frozen=True)
class Single:
    """Resize → centre crop → rescale → normalise.

    `edge` is what the processor resizes to: a shortest edge in pixels, a (height, width), or None. `canvas` is the
    (height, width) that comes out.
    """

    canvas: tuple[int, int]
    edge: int | tuple[int, int] | None
    resample: str
    normalisation: Normalisation
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, processor: Any, config: Any = None) -> "Single":
        """Reads the processor's settings; raises CheckpointError when they fix no size."""
        size, crop = _sizes(processor.size), _sizes(getattr(processor, "crop_size", None))
        do_crop = bool(getattr(processor, "do_center_crop", False)) and crop is not None
        edge = size if getattr(processor, "do_resize", True) else None
        canvas = crop if do_crop else edge
        if canvas is None:
            raise CheckpointError(
                "the image processor states no fixed picture size",
                where="processor_config.json",
                got=f"size {processor.size}, crop {getattr(processor, 'crop_size', None)}",
                expected="`size` with shortest_edge or height and width, or a centre crop",
                todo="`pcr-audit list models` shows which families of variable resolution are supported",
            )
        return cls(
            canvas=(canvas, canvas) if isinstance(canvas, int) else canvas,
            edge=edge,
            resample=filter_of(processor),
            normalisation=Normalisation.of(processor),
        )

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) in [0, 1] → (3, *canvas) in [0, 1]; differentiable."""
        if tuple(picture.shape[-2:]) == self.canvas:
            return picture
        batch = picture[None]
        if self.edge is not None:
            batch = resize(batch, self._target(batch.shape[-2], batch.shape[-1]), self.resample)
        return centre_crop(batch, self.canvas)[0].clamp(0, 1)

    def pack(self, pixels: Tensor) -> Tensor:
        """Normalised pixels as they are."""
        return pixels

    def inputs(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (batch, 3, *canvas) in [0, 1] → (batch, 3, *canvas)."""
        return {"pixel_values": self.normalisation.apply(pictures)}

    def token_inputs(self, tokens: Tensor) -> dict[str, Tensor]:
        """None."""
        return {}

    def picture_text(self, tokenizer: Any) -> PictureText:
        """The picture's tokens alone."""
        return PictureText()

    def ask_processor(self, processor: Any, picture: Image.Image) -> dict[str, Tensor]:
        """What the checkpoint's own processor makes of the picture."""
        return tensors(processor(images=[picture], return_tensors="np"), "pixel_values")

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.edge, int):
            assert self.edge is not None
            return self.edge
        if height <= width:
            return self.edge, int(self.edge * width / height)
        return int(self.edge * height / width), self.edge


def _sizes(size: Any) -> int | tuple[int, int] | None:
    if size is None:
        return None
    if isinstance(size, int):
        return size
    height, width = size.get("height"), size.get("width")
    if height and width:
        return int(height), int(width)
    shortest = size.get("shortest_edge")
    return int(shortest) if shortest and not size.get("longest_edge") else None
