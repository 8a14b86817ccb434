"""One record of every kind."""

from pathlib import Path

import pytest

from reports.record import AuditRecord
from tests.reports import builders


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AuditRecord]:
    folder: Path = tmp_path_factory.mktemp("records")
    makers = (builders.clean_pass, builders.inconclusive, builders.repaired, builders.certified)
    return {make.__name__: make(folder / make.__name__) for make in makers}
