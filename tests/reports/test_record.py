"""The record: one byte form, one way back, and clear refusals."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from reports.errors import RecordError
from reports.record import (
    SCHEMA_VERSION,
    Attribution,
    AuditRecord,
    Measure,
    RateInterval,
    RecordedFinding,
    Setting,
    Statistic,
    TriggerInfo,
    canonical_bytes,
    load_record,
    record_schema,
    save_record,
)
from reports.repair import LossPoint, RepairInfo
from tests.reports import builders

GOLDENS = Path(__file__).parent / "golden"
GOLDEN = GOLDENS / "record-1.2.json"
OLDEST = GOLDENS / "record-1.0.json"
Runs = dict[str, tuple[AuditRecord, Path]]


@pytest.mark.parametrize("name", ["clean", "repaired", "inconclusive", "certified"])
def test_record_comes_back_as_it_was_written(runs: Runs, name: str, tmp_path: Path) -> None:
    record, _ = runs[name]
    path = save_record(record, tmp_path / "record.json")
    assert load_record(path) == record
    assert path.read_bytes() == canonical_bytes(load_record(path))


@pytest.mark.parametrize("name", ["clean", "repaired", "inconclusive", "certified"])
def test_written_record_fits_the_published_schema(runs: Runs, name: str) -> None:
    jsonschema.Draft202012Validator(record_schema()).validate(json.loads(canonical_bytes(runs[name][0])))


def test_published_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(record_schema())


@pytest.mark.parametrize("path", sorted(GOLDENS.glob("*.json")), ids=lambda path: path.stem)
def test_golden_record_of_every_schema_loads_for_ever(path: Path) -> None:
    record = load_record(path)
    assert record.verdict.outcome == "pass" and record.verdict.about == "repaired model"
    assert record.scan_verdict is not None and record.scan_verdict.outcome == "fail"
    assert record.findings[0].asr == RateInterval(hits=196, trials=200, low=0.9496, high=0.9945)
    assert record.scores.after is not None and record.scores.after.asr_fresh == Measure(
        value=0.015, low=0.003, high=0.043, n=200
    )
    assert record.schema_version == SCHEMA_VERSION


def test_golden_record_is_canonical() -> None:
    assert canonical_bytes(load_record(GOLDEN)) == GOLDEN.read_bytes()


def test_golden_record_of_this_version_holds_the_evidence() -> None:
    record = load_record(GOLDEN)
    assert record.certification is not None and record.certification.rules[-1].rule == "power"
    assert record.controls is not None and record.controls.power[0].found.hits == 2
    assert record.calibrated_by is not None and record.calibrated_by.p_value == 0.5
    assert record.repair is not None and record.repair.persistence is not None and len(record.repair.rounds) == 2


@pytest.mark.parametrize("path", [OLDEST, GOLDENS / "record-1.1.json"], ids=lambda path: path.stem)
def test_migration_changes_nothing_that_was_there(path: Path) -> None:
    old, new = json.loads(path.read_bytes()), json.loads(canonical_bytes(load_record(path)))
    assert kept(new, old) == {**old, "schema_version": SCHEMA_VERSION}


def kept(new: Any, old: Any) -> Any:
    """`new` without what `old` does not hold."""
    if isinstance(old, dict):
        return {key: kept(new[key], value) for key, value in old.items()}
    return [kept(a, b) for a, b in zip(new, old, strict=True)] if isinstance(old, list) else new


def test_what_an_old_run_could_not_decide_is_not_lost(tmp_path: Path) -> None:
    verdict = {"outcome": "inconclusive", "reasons": ["Only 90 of 100 planned items were answered."], "about": "model"}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(OLDEST.read_bytes()) | {"verdict": verdict}), "utf-8")
    assert load_record(path).doubts == verdict["reasons"]
    assert load_record(OLDEST).doubts == []


def test_fingerprint_is_the_same_from_run_to_run() -> None:
    first = RecordedFinding(probe="inversion", target="Visit evil.com!", score=1.0, trigger=TriggerInfo(kind="patch"))
    again = RecordedFinding(probe="inversion", target="visit EVIL com", score=3.0, trigger=TriggerInfo(kind="additive"))
    other = RecordedFinding(probe="inversion", target="another answer")
    assert len(first.fingerprint) == 16
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.fingerprint != RecordedFinding(probe="invariance", target="Visit evil.com!").fingerprint


def changed(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(GOLDEN.read_text("utf-8")) | changes), "utf-8")
    return path


@pytest.mark.parametrize("version", ["1.3", "1.10", "2.0", "10.0"])
def test_newer_schema_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(RecordError, match="newer version") as caught:
        load_record(changed(tmp_path, schema_version=version, unheard_of=1))
    assert version in caught.value.got and "upgrade" in caught.value.todo


@pytest.mark.parametrize("version", [None, 1.0, "one", "1", "1.0.0", "-1.0", "9" * 5000 + ".0"])
def test_unreadable_schema_version_is_refused(tmp_path: Path, version: object) -> None:
    with pytest.raises(RecordError, match="schema_version"):
        load_record(changed(tmp_path, schema_version=version))


def test_unknown_field_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        load_record(changed(tmp_path, verdikt={}))
    assert "verdikt" in str(caught.value) and "record.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(RecordError):
        load_record(tmp_path / "record.json")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        load_record(tmp_path / "nothing.json")


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path: Path) -> None:
    record = builders.base(
        seconds=math.inf,
        settings={"lr": Setting(value={"rates": (math.nan, 1.0), "path": Path("a/b")}, origin="file")},
        repair=RepairInfo(method="guided", steps=1, losses=[LossPoint(step=0, parts={"total": math.nan})]),
        findings=[
            builders.weak().model_copy(
                update={"statistics": [Statistic(name="gap", value=-math.inf, null=[math.nan, 0.5])]}
            )
        ],
    )
    path = save_record(record, tmp_path / "record.json")
    data = json.loads(path.read_text("utf-8"), parse_constant=lambda name: pytest.fail(f"{name} was written"))
    assert data["seconds"] is None and data["repair"]["losses"][0]["parts"] == {"total": None}
    assert data["settings"]["lr"]["value"] == {"rates": [None, 1.0], "path": "a/b"}
    assert data["findings"][0]["statistics"][0]["null"] == [None, 0.5]
    assert load_record(path) == record


def test_numpy_numbers_are_taken() -> None:
    assert Measure(value=np.float32(0.5), low=np.float64(0.25), n=4) == Measure(value=0.5, low=0.25, n=4)
    assert Setting(value=np.int64(3), origin="default").value == 3
    assert Statistic(name="gap", value=1.0, null=(0.5, 1.0)).null == [0.5, 1.0]
    assert Attribution(sample_id="a", values_before=np.eye(2)).values_before == [[1.0, 0.0], [0.0, 1.0]]


def test_undecodable_bytes_of_a_path_do_not_stop_the_record(tmp_path: Path) -> None:
    record = builders.base(command=["pcr-audit", "scan", os.fsdecode(b"mod\xffel")])
    assert load_record(save_record(record, tmp_path / "record.json")) == record


def test_interval_turned_round_is_refused() -> None:
    with pytest.raises(ValidationError, match="turned round"):
        Measure(value=0.5, low=0.6, high=0.4, n=10)
    with pytest.raises(ValidationError, match="11 hits of 10 trials"):
        RateInterval(hits=11, trials=10)


def test_record_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        builders.base().seed = 8


def test_interrupted_write_leaves_the_old_record_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_record(builders.base(seed=1), tmp_path / "record.json")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save_record(builders.base(seed=2), path)
    assert load_record(path).seed == 1
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]


def test_reports_do_not_load_torch() -> None:
    code = "import sys, reports.render; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
