"""JSONL: one sample a line, {"image": path, "answers": text or texts, "prompt": text, "id": text}."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from auditor.data.places import data_files, inside, only_one
from auditor.data.records import Draft, Entry, Format, Name, Row, Source, check, check_text, parse_json, shown
from auditor.errors import DataError

SUFFIXES = frozenset({".jsonl", ".ndjson"})
KEYS = ("image", "answers", "prompt", "id")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Line(Row):
    """The keys of one line that are ours."""

    image: str
    answers: Annotated[list[str], BeforeValidator(_listed)]
    prompt: str | None = None
    id: Name | None = None


def recognise(source: Source) -> bool:
    """A .jsonl or .ndjson file, or a folder that holds one."""
    return (source.path.suffix.lower() in SUFFIXES and source.path.is_file()) or bool(_files(source.path))


def read(source: Source, prompt: str) -> Draft:
    """Samples in the order of the lines; raises DataError that names file, line and field."""
    if source.path.is_dir():
        source = Source(only_one(_files(source.path), source.path, ".jsonl"))
    root = source.path.resolve().parent
    return Draft(root, (source,), _entries(source, root, prompt))


def _entries(source: Source, root: Path, prompt: str) -> Iterator[Entry]:
    lines = source.raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, raw in enumerate(lines, 1):
        if raw.strip():
            yield _entry(raw, f"{source.path.name}:{number}", f"line-{number}", root, prompt)


def _entry(raw: bytes, where: str, name: str, root: Path, prompt: str) -> Entry:
    value = parse_json(raw, where)
    if not isinstance(value, dict):
        raise DataError(
            "is not an object",
            where=where,
            got=shown(value),
            expected='{"image": ..., "answers": [...]}',
            todo="write one JSON object a line",
        )
    _check_keys(value, where)
    line = check(Line, value, where)
    image = inside(root, check_text(line.image, "image", where), where)
    name = name if line.id is None else check_text(line.id, "id", where)
    asked = prompt if line.prompt is None else check_text(line.prompt, "prompt", where)
    if not line.answers:
        raise DataError(
            "`answers` is empty",
            where=where,
            got="[]",
            expected="at least one reference answer",
            todo="add one; to use pictures without answers, give the folder of pictures instead of the file",
        )
    return Entry(name, image, asked, tuple(check_text(text, "answers", where) for text in line.answers), where)


def _check_keys(value: dict[str, Any], where: str) -> None:
    """Says which key was probably meant where one of the two that every line needs is missing."""
    for key in ("image", "answers"):
        if key not in value:
            near = difflib.get_close_matches(key, [name for name in value if name not in KEYS], n=1)
            raise DataError(
                f"`{key}` is missing",
                where=where,
                got=f"keys {', '.join(map(shown, sorted(value)))}",
                expected=f"a key `{key}`",
                todo=f"rename `{near[0]}` to `{key}`" if near else f"add `{key}` to the line",
            )


def _files(path: Path) -> list[Path]:
    return data_files(path, "", SUFFIXES)


FORMAT = Format("jsonl", recognise, read)
