from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, CLIPImageProcessor

from auditor.checkpoint.families.comparing import largest_difference
from auditor.checkpoint.families.single import Single
from auditor.checkpoint.preprocessing import TOLERANCE, lanczos
from auditor.errors import CheckpointError

SIZES = [(57, 91), (30, 45), (20, 121), (143, 31), (56, 56), (7, 9), (200, 200), (64, 333), (333, 64), (640, 90)]
EXACT = 1e-5
"""Rounding of 32-bit normalisation; a step of 8 bits is four hundred times as much."""


def noise(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_tensor(picture: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def processor(untouched_llava: Path) -> Any:
    return AutoImageProcessor.from_pretrained(untouched_llava, local_files_only=True, backend="pil")


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_are_those_of_the_folders_own_processor(processor: Any, height: int, width: int) -> None:
    picture = noise(height, width)
    theirs = torch.as_tensor(processor(images=[Image.fromarray(picture)], return_tensors="np")["pixel_values"])
    door = Single.of(processor)
    ours = door.normalisation.apply(door.fit(as_tensor(picture))[None])
    std = torch.tensor(door.normalisation.std).view(1, 3, 1, 1)
    assert theirs.shape == ours.shape == (1, 3, 56, 56)
    assert float(((theirs - ours) * std).abs().max()) <= EXACT


@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
        {"size": {"height": 40, "width": 24}, "do_center_crop": False},
        {"size": {"shortest_edge": 20}, "crop_size": {"height": 32, "width": 32}},
        {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "resample": 2},
        {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "do_normalize": False},
    ],
)
def test_other_settings_are_followed_too(settings: dict[str, Any]) -> None:
    own = CLIPImageProcessor(**settings)
    differences = [largest_difference(Single.of(own), own, *size) for size in ((61, 83), (17, 90), (200, 19))]
    assert max(differences) <= EXACT


@pytest.mark.parametrize(("before", "after"), [(57, 91), (91, 57), (30, 30), (7, 200), (333, 64)])
def test_lanczos_weights_are_pillows(before: int, after: int) -> None:
    impulse = np.zeros((1, before), dtype=np.float32)
    for place in (0, before // 3, before - 1):
        impulse[:] = 0
        impulse[0, place] = 1
        theirs = Image.fromarray(impulse).resize((after, 1), Image.Resampling.LANCZOS)
        torch.testing.assert_close(lanczos(before, after)[:, place], torch.from_numpy(np.array(theirs)[0]))


def test_a_filter_that_is_not_followed_is_seen() -> None:
    own = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, resample=5)
    assert largest_difference(Single.of(own), own, 61, 83) > TOLERANCE


def test_a_processor_without_a_fixed_size_is_refused() -> None:
    own = CLIPImageProcessor(do_resize=False, do_center_crop=False)
    with pytest.raises(CheckpointError, match="no fixed picture size"):
        Single.of(own)


@pytest.mark.parametrize(("height", "width"), [(30, 45), (90, 61)])
def test_the_gradient_reaches_every_part_of_the_picture(processor: Any, height: int, width: int) -> None:
    door = Single.of(processor)
    picture = as_tensor(noise(height, width)).mul(0.5).add(0.25).requires_grad_(True)
    fitted = door.fit(picture)
    door.normalisation.apply(fitted[None]).sum().backward()
    assert picture.grad is not None
    seen = picture.grad.abs().sum(dim=0) > 0
    side = min(height, width)
    top, left = (height - side) // 2 + 2, (width - side) // 2 + 2
    assert bool(seen[top : top + side - 4, left : left + side - 4].all())


def test_a_picture_of_the_canvas_is_left_alone(processor: Any) -> None:
    picture = as_tensor(noise(56, 56))
    assert Single.of(processor).fit(picture) is picture
