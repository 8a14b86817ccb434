"""The one door to data: recognises the format, reads it, opens the pictures, and digests exactly what was opened."""

import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from torch import Tensor

from auditor.data import coco, folder, jsonl, vqa
from auditor.data.decoding import decode_bytes, read_bytes
from auditor.data.records import DEFAULT_CAPTION_PROMPT, Draft, Entry, Format, Source, check_text, shown
from auditor.errors import DataError, UsageError
from probes.sample import Sample

FORMATS: tuple[Format, ...] = (jsonl.FORMAT, vqa.FORMAT, coco.FORMAT, folder.FORMAT)


@dataclass(frozen=True)
class Dataset:
    """Samples with the digest of the bytes they came from.

    `digest` is the SHA-256 over the data files by name and the opened pictures by their paths inside the data set:
    the same data in another place has the same digest. `kind` is one of jsonl, vqa, coco, folder.
    """

    path: Path
    digest: str
    samples: tuple[Sample, ...]
    kind: str


def open_data(path: Path, *, limit: int | None = None, prompt: str = DEFAULT_CAPTION_PROMPT) -> Dataset:
    """Every sample at `path`, or the first `limit`, pictures (3, h, w) float32 in [0, 1] of their original size.

    `prompt` is asked where the data has none of its own. Samples of one picture share its tensor. What lies past the
    limit is not looked at. Raises DataError for anything that does not fit, UsageError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(
            "`limit` leaves no samples", where=str(path), got=str(limit), expected="at least 1", todo="raise the limit"
        )
    check_text(prompt, "prompt", "options")
    source = Source(Path(path))
    layout = _recognised(source)
    draft = layout.read(source, prompt)
    entries = _unique(list(islice(draft.entries, limit)), source)
    pictures = _Pictures(draft.root)
    samples = tuple(Sample(entry.id, pictures.open(entry), entry.prompt, entry.answers) for entry in entries)
    return Dataset(Path(path), _digest(draft, pictures.digests), samples, layout.kind)


def _recognised(source: Source) -> Format:
    if not source.path.exists():
        raise DataError(
            "does not exist",
            where=str(source.path),
            got="no such file or folder",
            expected="a data file or a folder",
            todo="check the path",
        )
    found = [layout for layout in FORMATS if layout.recognise(source)]
    specific = [layout.kind for layout in found if layout is not folder.FORMAT]
    if source.path.is_dir() and len(specific) > 1:
        raise DataError(
            "holds data files of several formats",
            where=str(source.path),
            got=", ".join(specific),
            expected="one",
            todo="give the path of the file that is meant",
        )
    if found:
        return found[0]
    raise DataError(
        "is of no known format",
        where=str(source.path),
        got=_description(source),
        expected="a .jsonl file, a COCO captions file, a VQA questions file or folder, or a folder of pictures",
        todo="give the questions file of a VQA pair, the captions file of COCO, or write one JSON object a line",
    )


def _unique(entries: list[Entry], source: Source) -> list[Entry]:
    """The entries; raises DataError if there are none or if two share an id."""
    if not entries:
        raise DataError(
            "holds no samples",
            where=str(source.path),
            got="an empty list",
            expected="at least one sample",
            todo="export or copy the data again",
        )
    first: dict[str, str] = {}
    for entry in entries:
        if entry.id in first:
            raise DataError(
                f"id {shown(entry.id)} is used twice",
                where=entry.where,
                got=f"the id of {first[entry.id]}",
                expected="an id of its own for every sample",
                todo="rename or remove one of the two",
            )
        first[entry.id] = entry.where
    return entries


def _description(source: Source) -> str:
    if source.is_json() and isinstance(source.document, dict):
        return f"JSON with keys {', '.join(sorted(source.document)[:8])}"
    return f"a file with suffix {source.path.suffix or '(none)'}"


class _Pictures:
    """Opens each picture file once, and remembers the digest of what it opened by its path inside the data set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests: dict[str, str] = {}
        self._open: dict[Path, Tensor] = {}

    def open(self, entry: Entry) -> Tensor:
        if entry.picture not in self._open:
            raw = read_bytes(entry.picture)
            name = entry.picture.relative_to(self.root).as_posix()
            self._open[entry.picture] = decode_bytes(raw, f"{entry.where}: {name}" if entry.where != name else name)
            self.digests[name] = hashlib.sha256(raw).hexdigest()
        return self._open[entry.picture]


def _digest(draft: Draft, pictures: dict[str, str]) -> str:
    files = {source.path.name: source.digest for source in draft.files}
    canonical = json.dumps({"files": files, "pictures": pictures}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
