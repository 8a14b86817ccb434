"""The checkpoint's own picture processing, written again so that it is differentiable.

Geometry (resize, centre crop) brings any picture to the canvas once; normalisation is applied in every forward. Which
steps a family takes is said by its file in `families`; these are the steps.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

TOLERANCE = 2 / 255
_FILTERS = {0: "nearest-exact", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_PILLOW = {
    "nearest-exact": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_LOBES = 3
"""Of Pillow's Lanczos filter, on each side."""


@dataclass(frozen=True)
class Normalisation:
    """Rescale, then normalise: `scale` times a picture in [0, 1]; `mean` and `std` of that, per channel."""

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, processor: Any) -> "Normalisation":
        """As the settings of a Hugging Face image processor state it."""
        normalise = bool(getattr(processor, "do_normalize", True))
        rescale = bool(getattr(processor, "do_rescale", True))
        return cls(
            scale=float(processor.rescale_factor) * 255 if rescale else 255.0,
            mean=_channels(processor.image_mean) if normalise else (0.0, 0.0, 0.0),
            std=_channels(processor.image_std) if normalise else (1.0, 1.0, 1.0),
        )

    def apply(self, pictures: Tensor) -> Tensor:
        """(batch, 3, height, width) in [0, 1] → what the vision tower is given."""
        mean, std = (torch.tensor(v, device=pictures.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (pictures * self.scale - mean) / std


def _channels(values: Any) -> tuple[float, float, float]:
    if isinstance(values, int | float):
        return (float(values),) * 3
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def filter_of(processor: Any) -> str:
    """The name of the processor's resampling filter; bicubic where it states none, or one that is not followed here."""
    stated = getattr(processor, "resample", None)
    return _FILTERS.get(int(3 if stated is None else stated), "bicubic")


def resize(batch: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """One picture (1, 3, h, w) in [0, 1] to `size`: Pillow's own values, differentiable.

    Which side Pillow resizes first depends on its version, so that its values are taken and the gradient is ours.
    """
    smooth = resize_smoothly(batch, size, mode)
    return smooth + (_resize_exactly(batch.detach(), size, mode) - smooth).detach()


def resize_smoothly(batch: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Any batch in [0, 1] to `size`, nearly as Pillow does it: width first, then height, clamped between, because it
    keeps 8 bits after each pass."""
    if mode == "nearest-exact":
        return functional.interpolate(batch, size, mode=mode)
    if mode == "lanczos":
        across = lanczos(batch.shape[-1], size[1]).to(batch)
        down = lanczos(batch.shape[-2], size[0]).to(batch)
        return (down @ (batch @ across.T).clamp(0, 1)).clamp(0, 1)
    for target in ((batch.shape[-2], size[1]), size):
        batch = functional.interpolate(batch, target, mode=mode, antialias=True, align_corners=False).clamp(0, 1)
    return batch


def lanczos(before: int, after: int) -> Tensor:
    """(after, before): the weights by which Pillow's Lanczos filter makes a line of pixels longer or shorter."""
    stretch = before / after
    support = max(1.0, stretch)  # a shrinking filter is widened
    centres = (torch.arange(after, dtype=torch.float64) + 0.5) * stretch
    offsets = (torch.arange(before, dtype=torch.float64) + 0.5 - centres[:, None]) / support
    weights = torch.sinc(offsets) * torch.sinc(offsets / _LOBES) * (offsets.abs() < _LOBES)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def _resize_exactly(batch: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """One picture (1, 3, h, w) through Pillow, as the processors do it: 8 bits in, 8 bits out."""
    pixels = (batch[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    resized = Image.fromarray(pixels).resize((size[1], size[0]), _PILLOW[mode])
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].to(batch) / 255


def centre_crop(batch: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Crops around the centre; pads with black where the picture is smaller, as the processors do."""
    height, width = batch.shape[-2:]
    short = (max(0, canvas[0] - height), max(0, canvas[1] - width))
    if any(short):
        top, left = math.ceil(short[0] / 2), math.ceil(short[1] / 2)
        batch = functional.pad(batch, (left, short[1] - left, top, short[0] - top))
        height, width = batch.shape[-2:]
    top, left = (height - canvas[0]) // 2, (width - canvas[1]) // 2
    return batch[..., top : top + canvas[0], left : left + canvas[1]]
