"""Pictures of a run: only from its folder, only pictures."""

import os
import random
from pathlib import Path

import pytest
from PIL import Image

from reports.errors import RecordError
from reports.pictures import LARGEST_SIDE, embed, open_picture


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    Image.new("RGB", (20, 10), "red").save(folder / "small.png")
    Image.new("RGB", (20, 10), "blue").save(tmp_path / "secret.png")
    return folder


@pytest.mark.parametrize("path", ["../secret.png", "a/../../secret.png", "/etc/passwd", "nul\0l.png"])
def test_path_that_leaves_the_folder_is_refused(run: Path, path: str) -> None:
    with pytest.raises(RecordError, match="leaves the run's folder"):
        embed(run, path)


def test_link_that_leaves_the_folder_is_refused(run: Path) -> None:
    os.symlink(run.parent / "secret.png", run / "link.png")
    with pytest.raises(RecordError, match="leaves the run's folder"):
        open_picture(run, "link.png")


def test_small_picture_is_embedded_as_it_is(run: Path) -> None:
    picture = embed(run, "small.png")
    assert picture.small and picture.uri.startswith("data:image/png;base64,") and not picture.problem


def test_large_picture_is_scaled_down(run: Path) -> None:
    Image.new("RGB", (LARGEST_SIDE * 2, 40)).save(run / "large.png")
    assert not embed(run, "large.png").small


@pytest.mark.parametrize("content", [b"", b"<svg onload='x()'/>", b"\x89PNG\r\n\x1a\nbroken"])
def test_what_is_no_picture_is_named(run: Path, content: bytes) -> None:
    (run / "bad.png").write_bytes(content)
    picture = embed(run, "bad.png")
    assert not picture.uri and picture.problem.startswith("bad.png: ")


def test_truncated_missing_and_folder_are_named(run: Path) -> None:
    noise = Image.frombytes("RGB", (40, 40), random.Random(0).randbytes(4800))
    noise.save(run / "whole.png")
    (run / "cut.png").write_bytes((run / "whole.png").read_bytes()[:2000])
    for name in ("cut.png", "missing.png", "."):
        assert embed(run, name).problem.startswith(name)
