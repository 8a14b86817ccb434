"""Commands on few embedded pictures, in an empty folder, with a search that finds nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.sample import Sample
from probes.subject import Subject
from probes.suspects import Searched
from probes.targets import learn_habits
from reports.record import AuditRecord
from reports.render import render_html


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder, on few embedded pictures, and without the PDF, which says what the HTML says."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("auditor.case.EMBEDDED_SCENES", 64)
    monkeypatch.setattr("auditor.cli.work.write_documents", write_page)
    return here


def write_page(record: AuditRecord, run: Path, formats: Sequence[str] = ()) -> None:
    (run / "report.html").write_text(render_html(record, run), "utf-8")


@pytest.fixture
def silent_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that asks about every picture, as the real one does first, and then finds nothing."""

    def search(
        subject: Subject,
        probe: object,
        pool: Sequence[Sample],
        held_out: Sequence[Sample],
        *rest: object,
        references: Sequence[str],
    ) -> tuple[Searched, list[Any]]:
        assert {answer for sample in pool for answer in sample.answers} <= set(references)  # those of all the data
        habits = learn_habits(subject, [*pool, *held_out], torch.Generator().manual_seed(0), few=2)
        return Searched((), (), habits, (), ()), []

    for module in ("auditor.audit", "auditor.repairing"):
        monkeypatch.setattr(f"{module}.search", search)
