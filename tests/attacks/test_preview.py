"""The preview shows what each trigger does, in files that a person finds by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.attacks.preview import SHEET, embedded_photograph, write_preview
from auditor.errors import UsageError
from probes.triggers.registry import FAMILIES, build_trigger


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("preview") / "triggers"
    assert write_preview(out) == out / SHEET
    return out


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_every_family_has_three_pictures_and_all_are_on_the_sheet(folder: Path) -> None:
    parts = ("before", "after", "difference")
    assert {path.name for path in folder.iterdir()} == {SHEET} | {f"{f}-{part}.png" for f in FAMILIES for part in parts}
    height, width, _ = pixels(folder / SHEET).shape
    assert width > 1000 and height > 1000


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_pictures_are_the_triggers(folder: Path, family: str) -> None:
    before, after = pixels(folder / f"{family}-before.png"), pixels(folder / f"{family}-after.png")
    photograph = embedded_photograph()
    expected = build_trigger(family, (160, 160), 1, {}).stamp(photograph[None])[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(after - expected).max() <= 0.51
    assert np.abs(before - photograph.permute(1, 2, 0).numpy() * 255).max() <= 0.51
    assert (np.abs(after - before).max() > 20) == (family not in ("word", "sentence"))
    difference = pixels(folder / f"{family}-difference.png")
    assert np.abs(difference - (127.5 + 2 * (after - before)).clip(0, 255)).max() <= 3


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_preview(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
