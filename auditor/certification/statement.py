"""The in-toto statement: which files are spoken of (subjects, each with its SHA-256), and what is said of them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

from auditor.errors import DataError, UnsafeError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://pcr-audit.dev/audit/v1"
"""An identifier of the predicate's form, never fetched; the number rises when an old reader would misread a new one."""
RUN_PREFIX = "run:"
"""Subjects of the run folder; names without it are paths below the model folder, as OpenSSF model signing has them."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Subject:
    """One file by name and digest; `role` is model, record, items, report or policy."""

    name: str
    sha256: str
    role: str


@dataclass(frozen=True)
class Statement:
    """Subjects with distinct names, and the predicate about them."""

    subjects: tuple[Subject, ...]
    predicate: Mapping[str, Any]

    def of_role(self, *roles: str) -> dict[str, str]:
        """Name to digest of the subjects with one of these roles."""
        return {subject.name: subject.sha256 for subject in self.subjects if subject.role in roles}

    def to_bytes(self) -> bytes:
        """The payload: JSON with sorted keys, UTF-8, no NaN. Readers check these bytes and never write them anew."""
        subjects = [
            {"name": item.name, "digest": {"sha256": item.sha256}, "annotations": {"role": item.role}}
            for item in self.subjects
        ]
        data = {
            "_type": STATEMENT_TYPE, "subject": subjects, "predicateType": PREDICATE_TYPE, "predicate": self.predicate,
        }  # fmt: skip
        return json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False).encode()


def read_statement(payload: bytes, where: str) -> Statement:
    """The statement in a payload whose signature has been checked; fields it does not know are ignored.

    Raises DataError for another kind of statement, UnsafeError for names that are no plain paths.
    """
    try:
        data = json.loads(payload)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        _refuse(where, f"no JSON: {error}")
    kinds = (data.get("_type"), data.get("predicateType")) if isinstance(data, dict) else ()
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE):
        _refuse(where, " with ".join(map(str, kinds)) or "no JSON object")
    subjects, predicate = data.get("subject"), data.get("predicate")
    if not isinstance(subjects, list) or not isinstance(predicate, dict):
        _refuse(where, "no list of subjects with a predicate")
    read = tuple(_read_subject(item, where) for item in subjects)
    check_distinct((subject.name for subject in read), where)
    return Statement(read, predicate)


def check_name(name: str, where: str) -> None:
    """Raises UnsafeError unless the name is a relative path with `/` between plain parts, on every system."""
    path = name.removeprefix(RUN_PREFIX)
    plain = path and path == PurePosixPath(path).as_posix() and path.isprintable() and "\\" not in path
    if not plain or path.startswith("/") or ".." in path.split("/") or path == "." or PureWindowsPath(path).drive:
        raise UnsafeError(
            "a file name leads out of its folder, or is no plain path", where=where, got=repr(name)[:120],
            expected="a relative path such as text/config.json",
        )  # fmt: skip


def check_distinct(names: Iterable[str], where: str) -> None:
    """Raises UnsafeError when two subjects have one name: which of them is meant could not be told."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UnsafeError("two subjects have the same name", where=where, got=repr(name)[:120], expected="one each")
        seen.add(name)


def _read_subject(item: Any, where: str) -> Subject:
    name = item.get("name") if isinstance(item, dict) else None
    digest = item.get("digest") if isinstance(item, dict) else None
    sha256 = digest.get("sha256") if isinstance(digest, dict) else None
    if not isinstance(name, str) or not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
        _refuse(where, f"a subject without a name or a SHA-256: {str(item)[:80]}")
    check_name(name, where)
    notes = item.get("annotations")
    role = notes.get("role") if isinstance(notes, dict) else None
    return Subject(name, sha256, str(role or "other"))


def _refuse(where: str, got: str) -> NoReturn:
    raise DataError(
        "is signed, but is no statement that this version understands", where=where, got=got,
        expected=f"{STATEMENT_TYPE} with {PREDICATE_TYPE}", todo="upgrade pcr-audit, or give the attestation of a run",
    )  # fmt: skip
