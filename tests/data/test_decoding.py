"""Every still picture means one thing; everything else is refused with words."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auditor.data.decoding import decode_bytes, decode_picture
from auditor.errors import DataError


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def rgb(height: int = 4, width: int = 6) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header promises a size and whose data is empty."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_rgb_comes_back_bit_by_bit(tmp_path: Path) -> None:
    image = rgb()
    (tmp_path / "a.png").write_bytes(encoded(image))
    picture = decode_picture(tmp_path / "a.png")
    assert picture.shape == (3, 4, 6) and picture.dtype == torch.float32 and picture.is_contiguous()
    assert np.array_equal((picture * 255).round().byte().permute(1, 2, 0).numpy(), np.asarray(image))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_formats(form: str) -> None:
    picture = decode_bytes(encoded(Image.new("RGB", (5, 3), (255, 0, 0)), form), "a")
    assert picture.shape == (3, 3, 5)
    assert torch.allclose(picture[:, 1, 1], torch.tensor([1.0, 0.0, 0.0]), atol=0.02)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 51, (0.2, 0.2, 0.2)),
        ("1", 1, (1.0, 1.0, 1.0)),
        ("LA", (0, 0), (1.0, 1.0, 1.0)),
        ("RGBA", (255, 0, 0, 0), (1.0, 1.0, 1.0)),
        ("RGBA", (255, 0, 0, 255), (1.0, 0.0, 0.0)),
        ("RGBA", (0, 0, 0, 51), (0.8, 0.8, 0.8)),
        ("I;16", 65535, (1.0, 1.0, 1.0)),
        ("I;16", 13107, (0.2, 0.2, 0.2)),
    ],
)
def test_modes(mode: str, colour: Any, expected: tuple[float, ...]) -> None:
    picture = decode_bytes(encoded(Image.new(mode, (2, 2), colour)), "a")
    assert picture.shape == (3, 2, 2)
    assert picture[:, 0, 0].tolist() == pytest.approx(expected, abs=1e-3)


def test_sixteen_bits_are_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    picture = decode_bytes(encoded(Image.fromarray(ramp)), "a")
    assert np.allclose(picture[1].numpy(), ramp / 65535, atol=1e-6)
    assert decode_bytes(encoded(Image.fromarray(ramp), "TIFF"), "a").equal(picture)


def test_cmyk_and_palettes_become_rgb() -> None:
    cyan = decode_bytes(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"), "a")[:, 4, 4]
    assert cyan.tolist() == pytest.approx((0.0, 1.0, 1.0), abs=0.03)
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert decode_bytes(encoded(image), "a")[:, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert decode_bytes(encoded(image, transparency=1), "a")[:, 0].T.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_exif_orientation_is_honoured() -> None:
    image = Image.new("RGB", (6, 4))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    picture = decode_bytes(encoded(image, exif=exif), "a")
    assert picture.shape == (3, 6, 4)
    assert picture[0, 0, 3] == 1.0 and picture.sum() == 3.0


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(form: str) -> None:
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (0, 120, 250)]
    raw = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="animated or has several pages") as caught:
        decode_bytes(raw, "a.gif")
    assert caught.value.got == "3 frames" and "still" in caught.value.expected


def test_a_phone_picture_with_a_preview_is_the_picture() -> None:
    raw = encoded(Image.new("RGB", (8, 8), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (2, 2))])
    assert decode_bytes(raw, "a.jpg").shape == (3, 8, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated_pictures_are_refused(form: str) -> None:
    raw = encoded(rgb(64, 64), form)
    with pytest.raises(DataError, match=r"a.bin: is (damaged|not a picture)"):
        decode_bytes(raw[: len(raw) // 2], "a.bin")


@pytest.mark.parametrize("size", [(8000, 8000), (10_000, 10_000), (40_000, 40_000), (2_000_000_000, 2)])
def test_bombs_are_refused_by_their_header_and_without_a_warning(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="too many pixels") as caught:
            decode_bytes(png_of_size(*size), "bomb.png")
    assert "50000000" in caught.value.expected


def test_the_limit_of_pixels_is_a_setting() -> None:
    raw = encoded(rgb(4, 6))
    assert decode_bytes(raw, "a", max_pixels=24).shape == (3, 4, 6)
    with pytest.raises(DataError, match="too many pixels"):
        decode_bytes(raw, "a", max_pixels=23)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
        (png_of_size(0, 5), "not a picture|damaged|no pixels"),
        (png_of_size(5, 5), "damaged"),
    ],
)
def test_what_is_no_picture_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decode_bytes(raw, "a.png")
    assert caught.value.where == "a.png" and caught.value.got and caught.value.expected and caught.value.todo


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match="without a known range"):
        decode_bytes(encoded(Image.new(mode, (2, 2)), "TIFF"), "a.tif")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            decode_picture(path)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF"]), st.integers(0, 2**32), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_give_a_picture_or_our_error(form: str, seed: int, hits: int) -> None:
    raw = bytearray(encoded(rgb(16, 16), form))
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(raw), hits):
        raw[place] = random.integers(0, 256)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            picture = decode_bytes(bytes(raw), "a", max_pixels=100_000)
        except DataError:
            return
    assert picture.shape[0] == 3 and float(picture.min()) >= 0 and float(picture.max()) <= 1
