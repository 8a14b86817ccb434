"""The documents of sample records, made when a test asks for one."""

from pathlib import Path

import pytest

from reports.record import AuditRecord
from reports.writing import write_formats


class Documents:
    """The folder of a sample record with its report written into it, made when it is asked for."""

    def __init__(self, runs: dict[str, tuple[AuditRecord, Path]]) -> None:
        self._runs, self._made = runs, set[str]()

    def __getitem__(self, name: str) -> Path:
        record, folder = self._runs[name]
        if name not in self._made and (notice := write_formats(record, folder).notice):
            pytest.skip(notice)
        self._made.add(name)
        return folder
