"""Samples to disk, as a folder that the JSONL reader opens again."""

import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from auditor.data.records import check_text
from auditor.data.splitting import picture_digest
from auditor.errors import DataError, UsageError
from probes.sample import Sample

FILE = "clean.jsonl"


def write_jsonl(folder: Path, samples: Sequence[Sample]) -> Path:
    """Writes `clean.jsonl` and its pictures into a new folder, wholly or not at all; gives the path of the file.

    Pictures are PNG files of 8 bits, named by their pixels, so that equal ones are stored once; a picture that was
    decoded from 8 bits comes back bit by bit. Raises UsageError if `folder` exists or cannot be written, DataError for
    samples that could not be read again.
    """
    folder = Path(folder)
    if folder.exists() or folder.is_symlink():
        raise UsageError(
            "is there already",
            where=str(folder),
            got="an existing path",
            expected="a new folder",
            todo="choose another name, or move the old one away",
        )
    _check(samples)
    partial = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    try:
        _write(partial, samples)
        partial.rename(folder)
    except OSError as error:
        raise UsageError(
            "cannot be written",
            where=str(folder),
            got=error.strerror or str(error),
            expected="a folder that may be written to, with room",
            todo="check permissions and free space",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / FILE


def _write(folder: Path, samples: Sequence[Sample]) -> None:
    (folder / "pictures").mkdir(parents=True)
    lines = []
    for sample in samples:
        name = f"pictures/{picture_digest(sample.picture)[:32]}.png"
        if not (folder / name).exists():
            Image.fromarray(_pixels(sample.picture)).save(folder / name, format="PNG")
        row = {"id": sample.id, "image": name, "prompt": sample.prompt, "answers": list(sample.answers)}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    (folder / FILE).write_text("".join(lines), encoding="utf-8")


def _pixels(picture: Tensor) -> np.ndarray:
    """(height, width, 3) uint8."""
    scaled = (picture.detach().cpu() * 255).round().permute(1, 2, 0).contiguous()
    array: np.ndarray = scaled.numpy().astype(np.uint8)
    return array


def _check(samples: Sequence[Sample]) -> None:
    """Refuses what the reader would refuse, before anything is written."""
    if not samples:
        raise _unwritable("the data set", "no samples", "at least one")
    seen: set[str] = set()
    for sample in samples:
        where = f"sample {sample.id!r}"
        if sample.id in seen:
            raise _unwritable(where, "an id that was used before", "an id of its own for every sample")
        seen.add(sample.id)
        for field, text in (("id", sample.id), ("prompt", sample.prompt), *(("answers", a) for a in sample.answers)):
            check_text(text, field, where)
        if not sample.answers:
            raise _unwritable(where, "no answers", "at least one reference answer")
        picture = sample.picture
        if picture.ndim != 3 or picture.shape[0] != 3 or not bool(((picture >= 0) & (picture <= 1)).all()):
            raise _unwritable(where, f"a picture {tuple(picture.shape)} outside the range", "(3, h, w) in [0, 1]")


def _unwritable(where: str, got: str, expected: str) -> DataError:
    todo = "correct the sample, or leave it out"
    return DataError("cannot be written", where=where, got=got, expected=expected, todo=todo)
