"""The checkpoint's own picture processing, written again so that it is differentiable.

Geometry (resize, centre crop) brings any picture to the canvas once; normalisation is applied in every forward. A
contract test and a check at opening hold both to the folder's own processor within 2/255 before normalisation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from auditor.errors import CheckpointError

TOLERANCE = 2 / 255
_FILTERS = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
_PILLOW = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Preprocessor:
    """Resize → centre crop → rescale → normalise, as an image processor's configuration states them.

    `resize` is a shortest edge in pixels, a (height, width), or None. `canvas` is the (height, width) that comes out.
    `mean` and `std` are per channel, in units of the rescaled picture.
    """

    canvas: tuple[int, int]
    resize: int | tuple[int, int] | None
    resample: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, processor: Any) -> "Preprocessor":
        """Reads the settings of a Hugging Face image processor; raises CheckpointError when they are of another
        kind."""
        size, crop = _sizes(processor.size), _sizes(getattr(processor, "crop_size", None))
        do_crop = bool(getattr(processor, "do_center_crop", False)) and crop is not None
        resize = size if getattr(processor, "do_resize", True) else None
        canvas = crop if do_crop else resize
        if canvas is None:
            raise CheckpointError(
                "the image processor states no fixed picture size",
                where="processor_config.json",
                got=f"size {processor.size}, crop {getattr(processor, 'crop_size', None)}",
                expected="`size` with shortest_edge or height and width, or a centre crop",
            )
        normalise = bool(getattr(processor, "do_normalize", True))
        rescale = bool(getattr(processor, "do_rescale", True))
        return cls(
            canvas=(canvas, canvas) if isinstance(canvas, int) else canvas,
            resize=resize,
            resample=_FILTERS.get(int(getattr(processor, "resample", 3) or 0), "bicubic"),
            scale=float(processor.rescale_factor) * 255 if rescale else 255.0,
            mean=_channels(processor.image_mean) if normalise else (0.0, 0.0, 0.0),
            std=_channels(processor.image_std) if normalise else (1.0, 1.0, 1.0),
        )

    def fit(self, picture: Tensor) -> Tensor:
        """(3, any, any) in [0, 1] → (3, *canvas) in [0, 1]; differentiable."""
        if tuple(picture.shape[-2:]) == self.canvas:
            return picture
        batch = picture[None]
        if self.resize is not None:
            size = self._target(batch.shape[-2], batch.shape[-1])
            smooth = _resize(batch, size, self.resample)
            # Pillow's own values with our gradient: which side it resizes first depends on its version.
            batch = smooth + (_resize_exactly(batch.detach(), size, self.resample) - smooth).detach()
        return _centre_crop(batch, self.canvas)[0].clamp(0, 1)

    def normalise(self, pictures: Tensor) -> Tensor:
        """(batch, 3, *canvas) in [0, 1] → what the vision tower is given."""
        mean, std = (torch.tensor(v, device=pictures.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (pictures * self.scale - mean) / std

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            assert self.resize is not None
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize


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


def _channels(values: Any) -> tuple[float, float, float]:
    if isinstance(values, int | float):
        return (float(values),) * 3
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _resize(batch: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Width first, then height, clamped between: Pillow keeps 8 bits after each pass."""
    if mode == "nearest-exact":
        return functional.interpolate(batch, size, mode=mode)
    for target in ((batch.shape[-2], size[1]), size):
        batch = functional.interpolate(batch, target, mode=mode, antialias=True, align_corners=False).clamp(0, 1)
    return batch


def _resize_exactly(batch: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """One picture (1, 3, h, w) through Pillow, as the processors do it: 8 bits in, 8 bits out."""
    pixels = (batch[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    resized = Image.fromarray(pixels).resize((size[1], size[0]), _PILLOW[mode])
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].to(batch) / 255


def _centre_crop(batch: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Crops around the centre; pads with black where the picture is smaller, as the processors do."""
    height, width = batch.shape[-2:]
    short = (max(0, canvas[0] - height), max(0, canvas[1] - width))
    if any(short):
        top, left = -(-short[0] // 2), -(-short[1] // 2)
        batch = functional.pad(batch, (left, short[1] - left, top, short[0] - top))
        height, width = batch.shape[-2:]
    top, left = (height - canvas[0]) // 2, (width - canvas[1]) // 2
    return batch[..., top : top + canvas[0], left : left + canvas[1]]


def largest_difference(preprocessor: Preprocessor, processor: Any, height: int, width: int, seed: int = 0) -> float:
    """Largest difference, in [0, 1] units, between ours and the processor's own output on one smooth random picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    theirs = torch.as_tensor(np.asarray(processor(images=[picture], return_tensors="np")["pixel_values"]))
    ours = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    ours = preprocessor.normalise(preprocessor.fit(ours)[None])
    if theirs.shape != ours.shape:
        raise CheckpointError(
            "this processor does not turn a picture into one tensor of pixels, so no gradient can reach the picture",
            where="image processor",
            got=f"pixel_values of shape {tuple(theirs.shape)}",
            expected=f"{tuple(ours.shape)}",
            todo="families with tiles or variable resolution are not supported by this version",
        )
    std = torch.tensor(preprocessor.std).view(1, 3, 1, 1)
    return float(((theirs - ours) * std / preprocessor.scale).abs().max())
