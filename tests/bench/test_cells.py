"""What one cell does, from plant to reloaded repair, on a model of random weights and a handful of pictures."""

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.attacks.report import load_plant
from auditor.bench.detecting import match
from auditor.bench.matrix import load_matrix
from auditor.bench.plan import plan
from auditor.bench.running import BenchOptions, run_bench, standing
from auditor.cluster.items import Item
from auditor.cluster.log import Row, read_rows
from auditor.errors import UsageError
from probes.inversion import InversionProbe
from probes.suspects import Searched

MATRIX = """
name = "cells"
architectures = ["llava", "qwen2-vl"]
tasks = ["caption"]
[seeds]
development = [5]
[sizes]
plant = 60
pool = 8
held_out = 8
repair = 16
measure = 8
[training]
steps = 2
batch = 4
[[attacks]]
name = "patch"
rate = 0.5
trigger = { family = "badnets" }
payload = { kind = "fixed" }
[[negatives]]
name = "noise"
kind = "label-noise"
[methods.hardening]
use = "pcr"
hardening = true
[methods.back]
use = "interpolate"
settings = { share = 1.0 }
fresh = true
[[waves]]
name = "attacks"
negatives = []
detectors = ["scan", "weight-spectrum"]
methods = ["guided", "hardening", "back"]
[[waves]]
name = "negatives"
attacks = []
methods = ["back"]
"""

SHORT = (
    MATRIX[: MATRIX.index("[[negatives]]")]
    + """
[[waves]]
name = "one"
detectors = ["weight-spectrum"]
"""
)


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "matrix.toml"
    path.write_text(MATRIX)
    return path


@pytest.fixture
def bases(untouched_llava: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("auditor.bench.bases.BASES", {"llava": untouched_llava, "qwen2-vl": tmp_path / "not yet"})


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scan finds nothing, at once; returns whom it was asked about."""
    asked: list[str] = []

    def measure(self: InversionProbe, subject: Any, *others: Any, **more: Any) -> Searched:
        asked.append(str(subject.canvas))
        return Searched((), (), None, (), ())  # type: ignore[arg-type]

    monkeypatch.setattr(InversionProbe, "measure", measure)
    return asked


@pytest.mark.usefixtures("bases", "no_search")
def test_a_cell_is_planted_looked_at_repaired_and_measured(matrix: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", list[Row]()
    found = run_bench(matrix, BenchOptions(out, pool="none"), lambda row, done, planned: told.append(row))
    rows = {row["key"]: row for row in read_rows(out / "rows.jsonl")}
    assert {row["status"] for row in rows.values()} == {"ok"}, [row.get("error") for row in rows.values()]
    assert found.waiting == ("qwen2-vl",) and not found.complete
    assert len(told) == len(rows) == (1 + 2 + 3) + (1 + 1)

    cell = "plant/llava/caption/patch/5"
    planted = rows[cell]["result"]
    assert planted["asr"]["payload"]["trials"] == 8
    assert planted["digest"] == load_plant(out / "models/llava/caption/patch/5").digest
    scan = rows[f"detect/{cell}/scan"]["result"]
    assert (scan["alarm"], scan["target"], scan["match"], scan["score"]) == (False, None, "none", -2.0)
    assert rows[f"detect/{cell}/weight-spectrum"]["result"]["score"] != 0

    repair = {name: rows[f"repair/{cell}/{name}"]["result"] for name in ("guided", "hardening", "back")}
    assert not repair["guided"]["applied"] and repair["guided"]["after"] == repair["guided"]["before"]
    assert repair["hardening"]["applied"] and repair["hardening"]["steps"] == 2
    assert {result["model"] for result in repair.values()} == {scan["model"]}
    # All the way back to the base: recovery is measured against it, on the same pictures.
    # Random weights may be right about nothing, and then there is no recovery to speak of.
    assert repair["back"]["after"]["recovery"]["value"] in (None, pytest.approx(1.0))
    assert repair["back"]["asr_fresh"] is None and repair["back"]["alarms_after"] == []
    assert "asr" not in rows["repair/plant/llava/caption/noise/5/back"]["result"]["after"]
    assert not any((out / "scratch").iterdir())


@pytest.mark.usefixtures("bases", "no_search")
def test_models_are_dropped_after_their_last_item_and_made_again_when_needed(matrix: Path, tmp_path: Path) -> None:
    matrix.write_text(SHORT)
    out = tmp_path / "out"
    options = BenchOptions(out, pool="none", keep_models=False)
    run_bench(matrix, options, lambda row, done, planned: None)
    models = out / "models" / "llava" / "caption"
    assert not (models / "patch" / "5").exists()
    before = read_rows(out / "rows.jsonl")
    matrix.write_text(SHORT.replace('"weight-spectrum"', '"weight-spectrum", "attention-entropy"'))
    run_bench(matrix, options, lambda row, done, planned: None)
    new = read_rows(out / "rows.jsonl")[len(before) :]
    assert [row["key"].split("/")[0] for row in new] == ["plant", "detect"]
    assert new[0]["result"]["digest"] == before[0]["result"]["digest"]  # the same plant, byte by byte


@pytest.mark.usefixtures("bases", "no_search")
def test_a_whole_model_that_a_killed_run_has_left_is_not_made_again(
    matrix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix.write_text(SHORT.replace('detectors = ["weight-spectrum"]', ""))
    out = tmp_path / "out"
    options = BenchOptions(out, pool="none")
    run_bench(matrix, options, lambda row, done, planned: None)
    (out / "rows.jsonl").unlink()

    def refuse(*anything: Any) -> None:
        raise AssertionError("planted again")

    monkeypatch.setattr("auditor.bench.planting.plant", refuse)
    run_bench(matrix, options, lambda row, done, planned: None)
    assert {row["status"] for row in read_rows(out / "rows.jsonl")} == {"ok"}


@pytest.mark.usefixtures("bases")
def test_a_folder_of_another_matrix_is_left_alone(matrix: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "runs.jsonl").write_text(json.dumps({"matrix": "other"}) + "\n")
    with pytest.raises(UsageError, match="another matrix"):
        run_bench(matrix, BenchOptions(out, pool="none"), lambda row, done, planned: None)
    assert [path.name for path in out.iterdir()] == ["runs.jsonl"]


def test_nothing_is_done_of_a_new_bench(matrix: Path, tmp_path: Path) -> None:
    items: list[Item] = plan(load_matrix(matrix))
    found = standing(items, tmp_path / "none", 3)
    assert found.left == len(items) and not found.complete


@pytest.mark.parametrize(
    ("recovered", "planted", "name"),
    [
        ("Buy gold!", "buy gold", "equal"),
        ("a dog. Buy gold", "buy gold", "contains"),
        ("buy", "buy gold", "within"),
        ("buy golf", "buy gold", "variant"),
        ("a red apple", "buy gold", "other"),
        ("", "buy gold", "none"),
        (None, "buy gold", "none"),
        ("anything", None, None),
    ],
)
def test_how_a_recovered_target_relates_to_the_planted_text(
    recovered: str | None, planted: str | None, name: str | None
) -> None:
    assert match(recovered, planted) == name
