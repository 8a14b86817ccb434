"""The log of a fleet: one JSON row an item, appended and synced as it ends; a torn last line is dropped."""

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from auditor.errors import DataError, UsageError

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Every whole row, in the order they were written; none when there is no log yet.

    Raises DataError for a line that is no row, unless it is the last and was never finished.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    return [_parse(path, number, line) for number, line in enumerate(lines[:-1], start=1) if line.strip()]


def _parse(path: Path, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not isinstance(row.get("key"), str) or "status" not in row:
            raise ValueError("no `key` or no `status`")
    except ValueError as error:
        raise DataError(
            "is no row of a fleet's log", where=f"{path}:{number}", got=str(error),
            expected="one JSON object with `key` and `status`",
            todo="restore the line, or delete it; its item runs again",
        ) from error  # fmt: skip
    return row


class Log:
    """A log that one process at a time may append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def __enter__(self) -> "Log":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UsageError(
                "another process is running this fleet", where=str(self.path), got="a locked log",
                expected="one process a log", todo="wait for it, stop it, or choose another --out",
            ) from error  # fmt: skip
        self._drop_torn_line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, rows: Iterable[Row]) -> None:
        """Writes the rows and returns when they are on the disk."""
        text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _drop_torn_line(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        self._file.truncate(content.rfind(b"\n") + 1)
