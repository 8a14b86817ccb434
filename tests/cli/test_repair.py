"""`pcr-audit repair` from the command line: forced, rolled back, looked at again, and refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.cli.main import main
from auditor.cli.work import RepairChoice, longer_for_words
from auditor.repair.loop import Schedule
from auditor.zoo.embedded import CLEAN_MODEL
from reports.part import Measure
from reports.record import RecordedFinding, TriggerInfo, load_record
from tests.reports import builders

pytestmark = pytest.mark.usefixtures("elsewhere", "silent_search", "short")
GENTLE = ["--steps", "1", "--learning-rate", "1e-6"]  # one step at the usual rate may cost more than the margin
FORCED = ["repair", "--findings", "run", "--out", "repaired", "--force", *GENTLE]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One point of the way back, one step of a climb, one of benign fine-tuning."""
    from auditor.repair import adversary
    from probes.ascent import Climb

    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0,))
    monkeypatch.setattr(adversary, "Climb", lambda steps, pictures: Climb(steps=1, pictures=2))
    monkeypatch.setattr("auditor.repairing.LASTS", Schedule(steps=1, refresh=0))
    monkeypatch.setattr("auditor.audit.explain", lambda *asked: [])


@pytest.fixture
def scanned(elsewhere: Path, silent_search: None) -> Path:
    assert main(["scan", str(CLEAN_MODEL), "--out", "run"]) == 0
    return elsewhere


def test_a_model_without_a_finding_is_not_repaired_unless_it_is_forced(
    scanned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["repair", "--findings", "run", "--out", "repaired"]) == 4
    assert "triggers that a scan recovered" in capsys.readouterr().err
    assert not (scanned / "repaired").exists()
    assert main([*FORCED, "--persistence", "--rounds", "2"]) in (0, 3)  # so few pictures may not settle its quality
    record = load_record(scanned / "run" / "record.json")
    assert record.repair is not None and record.repair.steps == 1 and record.repair.rolled_back is None
    assert [made.targets for made in record.repair.rounds] == [[]]
    assert record.repair.persistence is not None and record.repair.persistence.steps == 1
    assert record.findings_after == [] and set(record.drops) == {"cider", "vqa_accuracy"}
    assert (scanned / "repaired" / "model.safetensors").is_file()
    assert not list((scanned / "run").glob("repair-state*"))


def test_a_repair_that_costs_too_much_is_rolled_back_and_fails(scanned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fallen = {"cider": Measure(value=0.3, low=0.2, high=0.4, n=100)}
    monkeypatch.setattr("auditor.audit.quality_drop", lambda *asked: fallen)
    assert main(FORCED) == 1
    record = load_record(scanned / "run" / "record.json")
    assert record.repair is not None and record.repair.rolled_back is not None
    assert "cider fell by 30.0%" in record.repair.rolled_back
    assert record.repair.rolled_back in record.verdict.reasons
    assert not (scanned / "repaired").exists()
    assert record.repaired_model is not None and Path(record.repaired_model.path).name == "repaired.rolled-back"
    assert json.loads((scanned / "repaired.rolled-back" / "config.json").read_text())["model_type"] == "llava"
    assert "rolled back" in (scanned / "run" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [("--train", "language,nose", "language, projector, vision"), ("--train", "", "parts of a model"),
     ("--accumulate", "5", "divided evenly")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(
    scanned: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, word: str
) -> None:
    assert main([*FORCED, option, value]) == 4
    assert word in capsys.readouterr().err
    assert not (scanned / "repaired").exists()


@pytest.mark.parametrize(("kind", "steps", "learned"), [("word", None, 480), ("word", 5, 5), ("patch", None, 240)])
def test_words_are_unlearned_in_more_steps_unless_the_user_says_otherwise(
    kind: str, steps: int | None, learned: int, tmp_path: Path
) -> None:
    found = RecordedFinding(probe="inversion", target="visit us", trigger=TriggerInfo(kind=kind))
    choice = RepairChoice("guided", steps=steps)
    request = longer_for_words(choice.request(tmp_path), choice, builders.base(findings=[found]))
    assert request.schedule == replace(Schedule(), steps=learned)
