"""How far our picture processing is from the checkpoint's own, on one picture."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from auditor.errors import CheckpointError

if TYPE_CHECKING:
    from auditor.checkpoint.families import Door


def tensors(made: Any, *names: str) -> dict[str, Tensor]:
    """The named arrays of a processor's answer."""
    return {name: torch.as_tensor(np.asarray(made[name])) for name in names if name in made}


def on_canvas(picture: Image.Image, canvas: tuple[int, int], processor: Any) -> Image.Image:
    """The picture brought to `canvas` (height, width) by the processor's own filter, whatever its aspect ratio."""
    resized = picture.resize(canvas[::-1], Image.Resampling(int(processor.resample)))
    return Image.fromarray(np.asarray(resized))


def smooth_noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """A random picture with soft blots, so that a filter's rounding is not the largest thing in it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def largest_difference(door: "Door", processor: Any, height: int, width: int, seed: int = 0) -> float:
    """Largest difference, in [0, 1] units, between our pixels and the processor's own on one smooth random picture.

    Raises CheckpointError when the two are not even of one shape, or differ in an input that holds no pixels.
    """
    picture = smooth_noise(height, width, seed)
    fitted = door.fit(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255)[None]
    ours, theirs = door.inputs(fitted), door.ask_processor(processor, picture)
    for name, own in ours.items():
        if name not in theirs or theirs[name].shape != own.shape or _differ(own, theirs[name]):
            raise CheckpointError(
                "this processor's answer is not followed here, so no gradient can reach the picture",
                where="image processor",
                got=f"{name} of shape {tuple(theirs[name].shape) if name in theirs else None}",
                expected=f"{tuple(own.shape)}",
                todo="`pcr-audit list models` shows which families with tiles or variable resolution are supported",
            )
    spread = torch.tensor(door.normalisation.std).view(1, 3, 1, 1).expand(1, 3, *door.canvas)
    gap = (theirs["pixel_values"] - ours["pixel_values"]) * door.pack(spread)
    return float((gap / door.normalisation.scale).abs().max())


def _differ(ours: Tensor, theirs: Tensor) -> bool:
    return not ours.is_floating_point() and not torch.equal(ours, theirs.to(ours.dtype))
