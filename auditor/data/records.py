"""What a format reader brings back, before any picture is opened, and the checks every format shares."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from auditor.errors import DataError

DEFAULT_CAPTION_PROMPT = "describe the picture."
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
SHOWN = 80


@dataclass(frozen=True)
class Entry:
    """A sample whose picture is not opened yet; `where` names file and line, or file and item, for errors."""

    id: str
    picture: Path
    prompt: str
    answers: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Source:
    """A data file or folder; its bytes are read once, and what is parsed is what is digested."""

    path: Path

    @cached_property
    def raw(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def document(self) -> Any:
        """The parsed JSON; raises DataError naming file, line and column."""
        return parse_json(self.raw, self.path.name)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def is_json(self) -> bool:
        return self.path.suffix.lower() == ".json" and self.path.is_file()

    def has_keys(self, *keys: str) -> bool:
        return self.is_json() and isinstance(self.document, dict) and self.document.keys() >= set(keys)


@dataclass(frozen=True)
class Draft:
    """What a reader found: no picture lies outside `root`; `files` are the data files that were read.

    `entries` are looked up as they are asked for, so that a limit also limits what has to exist.
    """

    root: Path
    files: tuple[Source, ...]
    entries: Iterator[Entry]


@dataclass(frozen=True)
class Format:
    """One layout of data on disk: `recognise` looks, `read` parses with the prompt to ask where there is none."""

    kind: str
    recognise: Callable[[Source], bool]
    read: Callable[[Source, str], Draft]


def _name(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_name)]


class Row(BaseModel):
    """A JSON object of which some keys are ours; others are allowed and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


Checked = TypeVar("Checked", bound=Row)


def check(model: type[Checked], value: Any, where: str) -> Checked:
    """The value as `model`; raises DataError that names the first field that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        missing = first["type"] == "missing"
        raise DataError(
            f"`{field}` is missing" if missing else f"`{field}` has the wrong form" if field else "has the wrong form",
            where=where,
            got=f"keys {shown(sorted(first['input']))}" if missing else shown(first["input"]),
            expected=f"a key `{field}`" if missing else first["msg"].removeprefix("Input should be "),
            todo="compare the file with the format's description, then correct it or export it again",
        ) from error


def check_text(text: str, field: str, where: str) -> str:
    """The text, unchanged; raises DataError if it is empty or blank, or cannot be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"`{field}` holds half a character",
            where=where,
            got=shown(text),
            expected="text that UTF-8 can hold",
            todo="remove the lone surrogate (\\ud800 to \\udfff)",
        ) from error
    if not text.strip():
        raise DataError(
            f"`{field}` is empty",
            where=where,
            got=shown(text),
            expected="text with at least one letter",
            todo=f"fill in `{field}`, or remove the sample",
        )
    return text


def parse_json(raw: bytes, where: str) -> Any:
    """Parses UTF-8 JSON; raises DataError for anything else. A byte order mark is allowed."""
    if not raw.strip():
        raise DataError("is empty", where=where, got="no data", expected="JSON", todo="export or copy the file again")
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise DataError(
            "is not UTF-8",
            where=where,
            got=f"byte 0x{raw[error.start]:02x} at {error.start}",
            expected="UTF-8 text",
            todo="convert the file, for example with `iconv -t utf-8`",
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            "is not valid JSON",
            where=where,
            got=f"{error}; {shown(raw[:SHOWN].decode('utf-8', 'replace'))}",
            expected="one JSON value",
            todo="correct it at the position named above",
        ) from error


def unreadable(path: Path, error: OSError | ValueError) -> DataError:
    """What a file that the system will not open becomes."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(
        "cannot be read",
        where=str(path),
        got=reason,
        expected="a readable file or folder",
        todo="check the path and its permissions",
    )


def shown(value: Any) -> str:
    """A value as an error shows it: on one line and short."""
    text = value if isinstance(value, str) else repr(value)
    line = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    cut = line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
    return f'"{cut}"' if isinstance(value, str) else cut


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
