"""Sample records with their pictures, and their documents, made once."""

from pathlib import Path

import pytest

from reports.record import AuditRecord, save_record
from reports.render import render_html
from tests.reports import builders
from tests.reports.documents import Documents

BUILDERS = {
    "clean": builders.clean_pass,
    "repaired": builders.repaired,
    "inconclusive": builders.inconclusive,
    "certified": builders.certified,
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[AuditRecord, Path]]:
    """Each sample record with the folder that holds its record.json and its pictures."""
    made = {}
    for name, build in BUILDERS.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = (build(folder), folder)
        save_record(made[name][0], folder / "record.json")
    return made


@pytest.fixture(scope="session")
def pages(runs: dict[str, tuple[AuditRecord, Path]]) -> dict[str, str]:
    """The HTML of each sample record."""
    return {name: render_html(record, folder) for name, (record, folder) in runs.items()}


@pytest.fixture(scope="session")
def documents(runs: dict[str, tuple[AuditRecord, Path]]) -> Documents:
    """The documents of the sample records."""
    return Documents(runs)
