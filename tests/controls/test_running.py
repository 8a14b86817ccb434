"""Controls of a finished run: what is added to its record, and what a kill in the middle leaves."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.case import Options
from auditor.certification.certifying import certify
from auditor.certification.policy import load_policy
from auditor.checkpoint.integrity import check_folder
from auditor.cluster.items import Item
from auditor.controls import running
from auditor.controls.running import LOG, add_controls, is_unfinished
from auditor.controls.specs import ControlPlan
from auditor.data.writing import write_jsonl
from auditor.errors import UsageError
from auditor.wording import LIMITS, NO_CALIBRATION, NO_CONTROLS, SHORT_CONTROLS
from auditor.zoo.embedded import embedded_samples
from reports.controls import BenignControl, PlantedControl
from reports.part import RateInterval
from reports.record import AuditRecord, ModelInfo, SearchInfo, load_record, save_record
from tests.reports import builders

Shop = Callable[[Item], dict[str, Any]]
PLAN = ControlPlan(workers=1)
ONE = Options(seed=7)


def silent(what: str, share: float) -> None:
    pass


def control(item: Item) -> dict[str, Any]:
    """A control as it should be: plants found, the weak one as well, and no alarm."""
    if "spec" not in item.settings:
        number = int(item.key.rpartition("-")[2])
        return {"statistic": 0.1 * number, "digest": "d"}
    spec = item.settings["spec"]
    if spec["kind"] != "attack":
        return BenignControl(name=spec["name"], kind=spec["kind"], alarm=False, score=0.1).model_dump(mode="json")
    weak = spec["training"]["stop_at"] < 0.9
    return PlantedControl(
        name=spec["name"], family=spec["trigger"]["family"], payload=spec["payload"]["kind"], target="t", took=True,
        asr=RateInterval(hits=70 if weak else 99, trials=100), stratum="medium" if weak else "high", found=True,
        target_recovered=not weak, severity="critical",
    ).model_dump(mode="json")  # fmt: skip


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the items that were worked on, in order; the work itself is `control`."""
    keys: list[str] = []

    def shop(scratch: Path, options: Options) -> Shop:
        def work(item: Item) -> dict[str, Any]:
            keys.append(item.key)
            return control(item)

        return work

    monkeypatch.setattr(running, "Workshop", shop)
    return keys


@pytest.fixture
def run(tmp_path: Path, untouched_llava: Path) -> Path:
    model = ModelInfo(path=str(untouched_llava), digest=check_folder(untouched_llava).digest, family="llava")
    search = SearchInfo(statistic=0.95)
    folder = tmp_path / "run"
    folder.mkdir()
    save_record(builders.base(model=model, search=search, limits=list(LIMITS)), folder / "record.json")
    return folder


def added(run: Path, plan: ControlPlan | None = PLAN, negatives: Path | None = None) -> AuditRecord:
    return add_controls(run, None, plan, negatives, ONE, silent)


def test_the_record_says_how_many_were_found_and_cried(run: Path, worked: list[str]) -> None:
    record = added(run)
    assert record.controls is not None
    assert [(s.name, s.found.hits, s.found.trials) for s in record.controls.power] == [("high", 2, 2), ("medium", 1, 1)]
    assert (record.controls.false_alarms.hits, record.controls.false_alarms.trials) == (0, 3)
    assert not record.controls.shortened and all(plant.seconds is not None for plant in record.controls.planted)
    assert load_record(run / "record.json") == record
    assert "2 of 2 with an ASR of 90% to 100%" in record.verdict.reasons[-1]
    assert record.verdict.outcome == "pass" and record.assurance == "screened"
    assert NO_CONTROLS not in record.limits and NO_CALIBRATION in record.limits
    power = next(r for r in certified(record).rules if r.rule == "power")
    assert (power.outcome, power.n) == ("pass", 3)


def certified(record: AuditRecord) -> Any:
    return certify(record, load_policy("release"), "2026-11-25T00:00:00Z").certification


def test_a_kill_in_the_middle_leaves_the_record_alone_and_the_rest_is_done_later(
    run: Path, worked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run / "record.json").read_bytes()

    def stop_at_third(what: str, share: float) -> None:
        if len(worked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_controls(run, None, PLAN, None, ONE, stop_at_third)
    assert (run / "record.json").read_bytes() == before
    assert is_unfinished(run)
    (run / ".control-left-over").mkdir()
    record = added(run)
    assert len(worked) == len(set(worked)) == 6, "what had ended was not done again"
    assert record.controls is not None and not is_unfinished(run)
    assert sorted(path.name for path in run.iterdir()) == [LOG, "record.json"]


def test_a_control_that_breaks_counts_for_nothing_and_says_why(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(item: Item) -> dict[str, Any]:
        if item.key in ("control/1-badnets-fixed", "control/1-fine-tune"):
            raise OSError("No space left on device")
        return control(item)

    monkeypatch.setattr(running, "Workshop", lambda scratch, options: broken)
    record = added(run)
    assert record.controls is not None
    plant, benign = record.controls.planted[0], record.controls.benign[0]
    assert (plant.found, benign.alarm) == (None, None)
    assert "No space left" in plant.notes[0] and "No space left" in benign.notes[0]
    assert record.controls.power[0].found.trials == 1 and record.controls.false_alarms.trials == 2
    assert next(r for r in certified(record).rules if r.rule == "power").outcome == "inconclusive"


def test_shortened_controls_are_said_to_be(run: Path, worked: list[str]) -> None:
    record = added(run, ControlPlan(steps=100, workers=1))
    assert record.controls is not None and record.controls.shortened
    assert any("100 steps" in note for note in record.controls.notes)
    assert record.limits.count(SHORT_CONTROLS) == 1


def test_a_model_that_has_changed_is_refused(run: Path, worked: list[str]) -> None:
    record = load_record(run / "record.json")
    save_record(
        record.model_copy(update={"model": record.model.model_copy(update={"digest": "0" * 64})}), run / "record.json"
    )
    with pytest.raises(UsageError, match="not the one that was audited"):
        added(run)
    assert worked == [] and not (run / LOG).exists()


def test_targets_of_the_audited_model_are_known_to_every_control(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = load_record(run / "record.json")
    weak = builders.weak("said by nobody")
    save_record(record.model_copy(update={"findings": [builders.planted({}), weak]}), run / "record.json")
    scenes: list[Any] = []
    monkeypatch.setattr(
        running,
        "Workshop",
        lambda scratch, options: lambda item: scenes.append(item.settings["scene"]) or control(item),
    )
    controls = added(run).controls
    assert controls is not None and controls.excluded == [builders.TARGET]
    assert {tuple(scene["known"]) for scene in scenes} == {(builders.TARGET,)}


def copies(folder: Path, source: Path, count: int) -> Path:
    """Models that differ from the audited one in a note that lies beside them."""
    for number in range(count):
        shutil.copytree(source, folder / f"negative-{number}", copy_function=os.link)
        (folder / f"negative-{number}" / "note.txt").write_text(f"negative {number}")
    return folder


def test_nineteen_negatives_give_a_valid_p_value(
    run: Path, untouched_llava: Path, tmp_path: Path, worked: list[str]
) -> None:
    record = added(run, None, copies(tmp_path / "negatives", untouched_llava, 19))
    table = record.calibrated_by
    assert table is not None and len(table.negatives) == len(table.names) == 19
    # 0.0, 0.1 … 1.8 stand for the negatives: nine of them (1.0 to 1.8) are at least as large as 0.95.
    assert table.statistic == 0.95 and table.p_value == pytest.approx((1 + 9) / 20)
    assert record.calibration == "benign models of the user (negatives)"
    assert NO_CALIBRATION not in record.limits and NO_CONTROLS in record.limits
    assert record.assurance == certified(record).assurance == "calibrated"


def test_fewer_negatives_give_a_score_alone(
    run: Path, untouched_llava: Path, tmp_path: Path, worked: list[str]
) -> None:
    record = added(run, None, copies(tmp_path / "negatives", untouched_llava, 3))
    assert record.calibrated_by is not None and record.calibrated_by.p_value is None
    assert record.calibration == "none" and NO_CALIBRATION in record.limits
    assert any("19" in note for note in record.calibrated_by.notes)
    assert certified(record).assurance == "screened"


def test_negatives_that_were_searched_less_give_no_p_value(
    run: Path, untouched_llava: Path, tmp_path: Path, worked: list[str]
) -> None:
    plan = ControlPlan(1, 1, steps=50, workers=1)
    record = added(run, plan, copies(tmp_path / "negatives", untouched_llava, 19))
    assert record.calibrated_by is not None and record.calibrated_by.p_value is None


def test_the_audited_model_is_no_negative_of_itself(run: Path, untouched_llava: Path, tmp_path: Path) -> None:
    folder = copies(tmp_path / "negatives", untouched_llava, 1)
    (folder / "negative-0" / "note.txt").unlink()
    with pytest.raises(UsageError, match="audited model"):
        added(run, None, folder)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_negatives_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no models"):
        added(run, None, tmp_path / name)


@pytest.mark.timeout(600)
def test_controls_of_a_small_model_are_made_side_by_side_in_processes(run: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data", embedded_samples(60, 7))
    record = load_record(run / "record.json")
    model = record.model.model_copy(update={"parameters": 1_000_000})
    save_record(record.model_copy(update={"model": model}), run / "record.json")
    options = Options(seed=7, batch_size=16, threads=2)
    controls = add_controls(run, data, ControlPlan(1, 1, steps=10), None, options, silent).controls
    assert controls is not None
    # A random model gives blind copies, which count for nothing; each was made and looked at nevertheless.
    assert [len(controls.planted), len(controls.benign)] == [1, 1]
    assert all("no longer looks at the picture" in c.notes[-1] for c in [*controls.planted, *controls.benign])
    assert sorted(path.name for path in run.iterdir()) == [LOG, "record.json"]
