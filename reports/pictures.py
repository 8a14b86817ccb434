"""Pictures of a run, made safe to embed: inside the folder, really pictures, and of a sensible size."""

import base64
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from reports.errors import RecordError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
LARGEST_SIDE = 768
SMALL_SIDE = 256


@dataclass(frozen=True)
class Embedded:
    """A picture as a data URI; `uri` is empty when the file is missing or no picture, and `problem` says so."""

    uri: str = ""
    small: bool = False
    problem: str = ""


def open_picture(folder: Path, relative: str) -> Image.Image:
    """The picture (RGB) at a path inside `folder`.

    Raises RecordError when the path leaves the folder, OSError when there is no readable picture.
    """
    path = _inside(folder, relative)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                return picture.convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OSError("is not a picture that can be shown") from error
    except (SyntaxError, ValueError) as error:  # Pillow raises these on truncated chunks
        raise OSError("is damaged") from error


def embed(folder: Path, relative: str) -> Embedded:
    """The picture as a PNG data URI without metadata, at most 768 pixels a side."""
    try:
        picture = open_picture(folder, relative)
    except OSError as error:
        return Embedded(problem=f"{relative}: {error.strerror or error}")
    small = max(picture.size) < SMALL_SIDE
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return Embedded(uri=data_uri("image/png", buffer.getvalue()), small=small)


def data_uri(kind: str, data: bytes) -> str:
    """`data` as a data URI of that media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _inside(folder: Path, relative: str) -> Path:
    root = folder.resolve()
    try:
        path = (root / relative).resolve()
        inside = path.is_relative_to(root)
    except ValueError:  # an embedded null byte
        inside = False
    if not inside:
        raise RecordError(
            "a picture path leaves the run's folder",
            where=str(folder / "record.json"),
            got=repr(relative),
            expected="a path inside the folder, relative to it",
            todo="do not trust this record; make it again",
        )
    return path
