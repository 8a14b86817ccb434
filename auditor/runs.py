"""Run folders: where a run keeps its evidence, and how a later command finds the latest one."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from auditor.errors import DataError, UsageError
from probes.triggers import AdditiveTrigger, PatchTrigger, Trigger
from probes.triggers.border import BorderTrigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.registry import from_numbers, numbers_of
from probes.triggers.word import WordTrigger

DEFAULT_ROOT = Path("pcr-audit-runs")
RECORD = "record.json"


@dataclass(frozen=True)
class Stored:
    """A recovered trigger on disk: exact values beside the picture, with the answer it gives; `finding` is the place of
    its finding in the record."""

    trigger: Trigger
    target: str
    finding: int = 0


def refuse_occupied(folder: Path) -> None:
    """Raises UsageError unless the folder is new or empty and its parent can be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "the output folder is not empty",
            where=str(folder),
            got="a file" if not folder.is_dir() else f"{len(list(folder.iterdir()))} entries",
            expected="a new or empty folder",
            todo="choose another --out, or remove the folder",
        )
    existing = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    if not os.access(existing, os.W_OK):
        raise UsageError(
            "the output folder cannot be written", where=str(folder), got=f"no write access to {existing}",
            expected="a folder that can be written", todo="choose another --out",
        )  # fmt: skip


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A scratch folder beside `out` that becomes `out` when the block ends well, and vanishes when it does not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        yield scratch
        if out.exists():
            out.rmdir()
        scratch.chmod(0o755)
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def new_folder_name(command: str) -> Path:
    """A folder below the default root, named by command and time."""
    return DEFAULT_ROOT / f"{command}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def latest_run(root: Path = DEFAULT_ROOT) -> Path:
    """The run whose record is newest; raises UsageError when there is none."""
    records = sorted(root.glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise UsageError(
            "there is no run to go on from", where=str(root), got="no record.json",
            expected="a run written by `pcr-audit scan`",
            todo="run `pcr-audit scan MODEL` first, or name --findings RUN",
        )  # fmt: skip
    return records[-1].parent


def append_items(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Adds rows to items.jsonl; rows that are there stay."""
    with (folder / "items.jsonl").open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")


def save_trigger(path: Path, trigger: Trigger, target: str) -> None:
    """Writes the exact values as safetensors, with what is needed to stamp them again."""
    about, values = numbers_and_values(trigger)
    tensors = {} if values is None else {"values": values}
    save_file(tensors, path, metadata={**about, "target": target})


def numbers_and_values(trigger: Trigger) -> tuple[dict[str, str], Tensor | None]:
    """What a trigger is made of; one that is drawn from a seed has no values, and its numbers stand for it."""
    about = {"kind": trigger.kind, "budget": repr(trigger.budget)}
    if isinstance(trigger, PatchTrigger):
        return {**about, "top": str(trigger.top), "left": str(trigger.left)}, trigger.pattern.float().contiguous()
    if isinstance(trigger, AdditiveTrigger):
        return about, trigger.delta.float().contiguous()
    if isinstance(trigger, BorderTrigger):
        return about, trigger.pattern.float().contiguous()
    if isinstance(trigger, DualKeyTrigger):
        picture, values = numbers_and_values(trigger.picture)
        return {**about, "picture": json.dumps(picture), "word": json.dumps(numbers_of(trigger.word))}, values
    return {**about, "numbers": json.dumps(numbers_of(trigger))}, None


def rebuild_trigger(about: Mapping[str, str], values: Tensor | None) -> Trigger:
    """The trigger that `numbers_and_values` took apart; KeyError, TypeError or ValueError for anything else."""
    if "numbers" in about:
        return from_numbers(about["kind"], json.loads(about["numbers"]))
    if values is None:
        raise ValueError("no values")
    if about["kind"] == "patch":
        return PatchTrigger(values, int(about["top"]), int(about["left"]), float(about["budget"]))
    if about["kind"] == "additive":
        return AdditiveTrigger(values, float(about["budget"]))
    if about["kind"] == "frame":
        return BorderTrigger(values, float(about["budget"]))
    if about["kind"] == "dual-key":
        picture = rebuild_trigger(json.loads(about["picture"]), values)
        word = from_numbers("word", json.loads(about["word"]))
        assert isinstance(word, WordTrigger), "the registry makes it"
        return DualKeyTrigger(picture, word)
    raise ValueError(f"kind {about['kind']!r}")


def load_triggers(run: Path) -> list[Stored]:
    """Every trigger that the scan recovered, worst finding first and its strongest trigger first.

    Raises DataError for a file that is none.
    """
    return [_load_trigger(path) for path in sorted((run / "triggers").glob("finding-*.safetensors"), key=_numbers)]


def _numbers(path: Path) -> list[int]:
    """finding-0, then finding-0-1, and finding-2 before finding-10."""
    return [int(digits) for digits in re.findall(r"\d+", path.stem)]


def _load_trigger(path: Path) -> Stored:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            values = None if "numbers" in about else file.get_tensor("values")
        return Stored(rebuild_trigger(about, values), about["target"])
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise DataError(
            "is no recovered trigger", where=str(path), got=str(error), expected="a trigger file written by a scan",
            todo="run the scan again",
        ) from error  # fmt: skip
