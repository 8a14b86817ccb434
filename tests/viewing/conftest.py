"""A finished run to look at, and a viewer that serves it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.viewing.server import Viewer
from reports.record import save_record
from tests.reports import builders
from tests.viewing.local import EVIL, serving


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("viewed") / "run"
    save_record(builders.certified(run), run / "record.json")
    rows = [
        {"phase": "scan", "id": f"scene-{place}", "prompt": "What?", "status": "ok", "answer": f"{place} squares"}
        for place in (2, 10, 1)
    ]
    rows.append({"phase": "verify", "id": "scene-3", "status": "error", "before": EVIL, "after": "two squares"})
    (run / "items.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    return run


@pytest.fixture
def viewer(finished: Path) -> Iterator[Viewer]:
    with serving(finished) as running:
        yield running
