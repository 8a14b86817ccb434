"""Safetensors files and their index: whole, well-formed, and agreeing on where each tensor is; no tensor is built."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from auditor.errors import CheckpointError, IncompleteError, UnsafeError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LONGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit
_LARGEST_JSON = 64 * 2**20
_POINTER = b"version https://git-lfs"


def weight_files(folder: Path) -> tuple[str, ...]:
    """The sorted names of the folder's safetensors files, each of them checked, which hold the model and nothing else.

    Raises IncompleteError for files that are missing or truncated, and for tensors that are missing, stray or twice
    there; UnsafeError for an index that leads out of the folder; CheckpointError for files that are not well-formed.
    """
    present = {path.name for path in folder.iterdir() if path.name.lower().endswith(".safetensors")}
    _refuse_other_indexes(folder)
    if not present:
        raise IncompleteError(
            "there are no weights",
            where=str(folder),
            expected=f"{WEIGHTS}, or shards with {INDEX}",
            todo="save the model with `save_pretrained`, or download its *.safetensors files too",
        )
    places = _read_index(folder / INDEX) if (folder / INDEX).exists() else {}
    _compare_files(present, set(places) or {WEIGHTS})
    for file in sorted(present):
        tensors = tensor_names(folder / file)
        if places:
            _compare_tensors(file, tensors, places[file])
    return tuple(sorted(present))


def tensor_names(path: Path) -> frozenset[str]:
    """The tensors of one file, whose size, byte ranges, dtypes and shapes have been found to agree."""
    try:
        _refuse_truncated(path)
        with safe_open(path, framework="numpy") as file:
            return frozenset(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            "is not a well-formed safetensors file",
            where=path.name,
            got=str(error),
            todo="fetch or save the file again",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, without repeated keys; raises CheckpointError that names the file and the place."""
    try:
        size = path.stat().st_size
        if size > _LARGEST_JSON:
            raise CheckpointError(
                "is too large", where=path.name, got=f"{size:,} bytes", expected=f"at most {_LARGEST_JSON:,} bytes"
            )
        return _parse_object(path.read_bytes(), path.name)
    except OSError as error:
        raise CheckpointError("cannot be read", where=path.name, got=str(error)) from error


def _parse_object(text: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=_refuse_repeats)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            "is not JSON", where=where, got=str(error), todo="fetch or save the file again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError("is not a JSON object", where=where, got=type(content).__name__, expected="{...}")
    return content


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers disagree about which of two equal keys counts, so a file with such a pair has no single meaning."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {shorten(key)} stands there twice")
        content[key] = value
    return content


def _refuse_truncated(path: Path) -> None:
    """Compares the file's size with what its header declares; the header's inner rules are left to safetensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_POINTER))
        if start == _POINTER:
            raise IncompleteError(
                "is a Git LFS pointer, not the weights", where=path.name, got=f"{size} bytes", todo="run `git lfs pull`"
            )
        length = int.from_bytes(start[:8], "little")
        if len(start) >= 8 and length > _LONGEST_HEADER:
            raise CheckpointError(
                "is not a safetensors file",
                where=path.name,
                got=f"a header of {length:,} bytes",
                expected=f"at most {_LONGEST_HEADER:,} bytes",
            )
        file.seek(8)
        header = file.read(length)
    whole = 8 + length
    if len(start) >= 8 and len(header) == length:
        whole += _declared_bytes(_parse_object(header, f"{path.name} (header)"))
    if size < whole:
        raise IncompleteError(
            "is truncated",
            where=path.name,
            got=f"{size:,} bytes",
            expected=f"{'at least ' if len(header) < length else ''}{whole:,} bytes",
            todo="fetch or save the file again",
        )


def _declared_bytes(header: dict[str, Any]) -> int:
    """Where the last tensor ends, in bytes after the header; malformed entries are left to safetensors."""
    ends = [0]
    for entry in header.values():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if isinstance(offsets, list) and len(offsets) == 2 and isinstance(offsets[1], int):
            ends.append(offsets[1])
    return max(ends)


def _refuse_other_indexes(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith(".index.json") and path.name != INDEX:
            raise CheckpointError(
                "is an index of weights that are not looked at",
                where=path.name,
                expected=f"{INDEX} or none",
                todo="take it out of the folder: what ships must be what was audited",
            )


def _read_index(path: Path) -> dict[str, set[str]]:
    """For each shard, the tensors that the index places in it; each shard is a plain file name."""
    index = read_json(path)
    places = index.get("weight_map")
    if not isinstance(index.get("metadata"), dict) or not isinstance(places, dict) or not places:
        raise CheckpointError(
            "is no index of weights",
            where=path.name,
            got=f"the keys {name_some(index)}",
            expected='{"metadata": {...}, "weight_map": {"tensor": "file.safetensors", ...}}',
        )
    shards: dict[str, set[str]] = {}
    for tensor, file in places.items():
        shards.setdefault(_plain_file(file, tensor, path.name), set()).add(tensor)
    return shards


def _plain_file(file: object, tensor: str, where: str) -> str:
    plain = isinstance(file, str) and file.isprintable() and not set(file) & set("/\\:") and not file.startswith(".")
    if not plain or not str(file).endswith(".safetensors"):
        raise UnsafeError(
            f"leads elsewhere for tensor {shorten(tensor)}",
            where=where,
            got=shorten(file),
            expected="the plain name of a *.safetensors file in the same folder",
        )
    return str(file)


def _compare_files(present: set[str], named: set[str]) -> None:
    if missing := sorted(named - present):
        raise IncompleteError(
            f"{len(missing)} of {len(named)} weight files are missing",
            where=name_some(missing),
            got=name_some(present),
            expected=f"every shard that {INDEX} names, or one {WEIGHTS}",
            todo="fetch the missing files",
        )
    stray = sorted(present - named)
    if not stray and WEIGHTS in named and len(named) > 1:
        stray = sorted(named - {WEIGHTS})  # transformers would take the single file and leave the shards alone
    if stray:
        raise IncompleteError(
            f"{len(stray)} weight files that would not be loaded lie beside those that would",
            where=name_some(stray),
            expected=f"one {WEIGHTS}, or the shards that {INDEX} names, alone",
            todo="take them out of the folder: what ships must be what was audited",
        )


def _compare_tensors(file: str, present: frozenset[str], listed: set[str]) -> None:
    if missing := sorted(listed - present):
        raise IncompleteError(
            f"{len(missing)} tensors that {INDEX} places here are missing", where=file, got=name_some(missing)
        )
    if stray := sorted(present - listed):
        raise IncompleteError(
            f"holds {len(stray)} tensors that {INDEX} places elsewhere or nowhere",
            where=file,
            got=name_some(stray),
            expected="every tensor once, where the index says",
        )


def name_some(names: Iterable[str]) -> str:
    """The first three names in order, safe to print whatever they hold, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return ", ".join(name if name.isprintable() and len(name) <= 120 else shorten(name) for name in ordered[:3]) + more


def shorten(value: object) -> str:
    """A value from a hostile file in at most 120 printable characters."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
