"""From the bytes of a picture to a tensor: every still picture means one thing, and everything else is refused."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from auditor.data.records import unreadable
from auditor.errors import DataError

MAX_PIXELS = 50_000_000
MAX_BYTES = 512 * 1024 * 1024
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
WIDE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
UNSCALED_MODES = frozenset({"I", "F"})


def decode_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """The picture as (3, height, width) float32 in [0, 1], upright by its EXIF orientation, on white where transparent.

    Grey, palette, CMYK and 16-bit pictures become RGB; colour profiles are not applied. Raises DataError for a file
    that is missing, empty, truncated, animated, no picture, of more than `max_pixels` pixels, or of 32-bit samples.
    """
    return decode_bytes(read_bytes(path), str(path), max_pixels=max_pixels)


def read_bytes(path: Path) -> bytes:
    """The bytes of a picture file; raises DataError if it is missing, unreadable or larger than 512 MiB."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _refusal(str(path), "is too large to open", f"{size} bytes", f"at most {MAX_BYTES} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def decode_bytes(raw: bytes, where: str, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """As `decode_picture`, from bytes that were read before; `where` names them in errors."""
    if not raw:
        raise _refusal(where, "is empty", "0 bytes", "a picture", "copy the file again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
                _check_header(image, where, max_pixels)
                return _tensor(_rgb(ImageOps.exif_transpose(image), where))
    except (DataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise _too_many(where, str(error), max_pixels) from error
    except UnidentifiedImageError as error:
        got = f"bytes that begin with {raw[:8].hex(' ')}"
        raise _refusal(where, "is not a picture", got, "one of " + ", ".join(FORMATS)) from error
    # Malformed bytes make decoders raise nearly every kind of exception; all of them mean the same here.
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise _refusal(where, "is damaged or truncated", got, "a complete picture", "copy the file again") from error


def _check_header(image: Image.Image, where: str, max_pixels: int) -> None:
    """Refuses by the header, before a pixel is decoded."""
    width, height = image.size
    if width < 1 or height < 1:
        raise _refusal(where, "has no pixels", f"{width} x {height}", "at least 1 x 1")
    if width * height > max_pixels:
        raise _too_many(where, f"{width} x {height} = {width * height} pixels", max_pixels)
    # MPO is how phones and stereo cameras keep a preview or a depth map beside the one picture that is meant.
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        todo = "save the frame that is meant as a picture of its own"
        raise _refusal(where, "is animated or has several pages", f"{frames} frames", "one still picture", todo)
    if image.mode in UNSCALED_MODES:
        got = f"{image.format} with 32-bit samples (mode {image.mode})"
        raise _refusal(where, "has samples without a known range", got, "8 or 16 bits a channel")


def _rgb(image: Image.Image, where: str) -> Image.Image | np.ndarray:
    """RGB of 8 bits, or the grey values (height, width) of 16 bits, which an 8-bit conversion would clip."""
    if image.mode in WIDE_MODES:
        return np.asarray(image).astype(np.float32)
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _tensor(image: Image.Image | np.ndarray) -> Tensor:
    """(3, height, width) float32 in [0, 1]."""
    if isinstance(image, np.ndarray):
        return torch.from_numpy(image / np.float32(65535)).expand(3, -1, -1).contiguous()
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))  # (height, width, 3)
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32) / 255


def _too_many(where: str, got: str, max_pixels: int) -> DataError:
    return _refusal(where, "has too many pixels", got, f"at most {max_pixels} pixels", "scale it down, or remove it")


def _refusal(where: str, message: str, got: str, expected: str, todo: str = "") -> DataError:
    todo = todo or "save it again as an 8-bit PNG or JPEG, or remove it"
    return DataError(message, where=where, got=got, expected=expected, todo=todo)
