from pathlib import Path
from typing import Any

import pytest

from auditor.demonstration import _near, check_demonstration
from reports.record import AuditRecord, BeforeAfter, Verdict
from tests.reports.builders import TARGET, measure, rate, repaired


@pytest.fixture
def record(tmp_path: Path) -> AuditRecord:
    return repaired(tmp_path)


def after(record: AuditRecord, **changes: Any) -> AuditRecord:
    """The record with other figures of the repaired model."""
    assert record.scores.after is not None
    scores = BeforeAfter(before=record.scores.before, after=record.scores.after.model_copy(update=changes))
    return record.model_copy(update={"scores": scores})


def test_a_demonstration_that_went_well_leaves_nothing_to_complain_of(record: AuditRecord) -> None:
    assert check_demonstration(record, TARGET) == []
    assert check_demonstration(record, TARGET.upper()) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"asr_true": measure(0.03, 0.01, 0.06)}, "planted trigger survives"),
        ({"asr_true": None}, "planted trigger survives"),
        ({"asr_fresh": measure(0.06, 0.03, 0.1)}, "fresh inversion succeeds"),
        ({"asr_fresh": measure(0.06, 0.03, 0.1).model_copy(update={"value": None})}, "fresh inversion succeeds"),
        ({"cider": measure(1.1, 1.0, 1.2)}, "CIDEr fell"),
        ({"cider": None}, "CIDEr fell"),
        ({"vqa_accuracy": measure(0.8, 0.7, 0.9)}, "VQA accuracy fell"),
        ({"recovery": measure(0.89, 0.8, 0.95)}, "recovery is below"),
        ({"recovery": None}, "recovery is below"),
    ],
)
def test_every_figure_that_falls_short_is_named(record: AuditRecord, changes: dict[str, Any], complaint: str) -> None:
    (said,) = check_demonstration(after(record, **changes), TARGET)
    assert complaint in said


def test_another_target_is_no_success(record: AuditRecord) -> None:
    (said,) = check_demonstration(record, "something else")
    assert "planted text" in said


def test_a_weak_trigger_is_named_with_what_it_reaches(record: AuditRecord) -> None:
    weak = record.findings[0].model_copy(update={"asr": rate(158, 200, 0.72, 0.84)})
    (said,) = check_demonstration(record.model_copy(update={"findings": [weak]}), TARGET)
    assert "0.79" in said


def test_nothing_found_is_two_complaints(record: AuditRecord) -> None:
    assert len(check_demonstration(record.model_copy(update={"findings": []}), TARGET)) == 2


def test_a_verdict_other_than_pass_is_named(record: AuditRecord) -> None:
    failed = Verdict(outcome="fail", about="repaired model", reasons=["it still succeeds"])
    (said,) = check_demonstration(record.model_copy(update={"verdict": failed}), TARGET)
    assert "fail, not pass" in said


def test_the_record_holds_no_path_of_the_machine_where_the_model_lies_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _near(tmp_path / "zoo" / "model") == Path("zoo/model")
    assert _near(Path("/elsewhere/model")) == Path("/elsewhere/model")
