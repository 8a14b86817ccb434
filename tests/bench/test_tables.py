import csv
import json
from pathlib import Path

import pytest

from auditor.bench.entries import join, stratum
from auditor.bench.page import show
from auditor.bench.reporting import make_tables
from auditor.bench.tables import (
    missing_table,
    plants_table,
    repair_cells_table,
    repair_summary_table,
    silence_table,
)
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from tests.bench.builders import detected, planted, rate, repaired, rows_of, small


def usual(item: Item) -> Row:
    makers = {"plant": planted, "detect": detected, "repair": repaired}
    return makers[item.settings["kind"]](item.settings)


def write_rows(folder: Path, rows: list[Row]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("hits", "name"), [(90, "took"), (89, "low-asr"), (50, "low-asr"), (49, "did not take"), (0, "did not take")]
)
def test_strata_of_plants(hits: int, name: str) -> None:
    assert stratum(planted({"negative": False}, hits), False) == name
    assert stratum(planted({"negative": True}), True) == "negative"
    assert stratum(None, False) == "unknown"
    assert stratum({"asr": {"payload": rate(0, 0)}}, False) == "unknown"


def test_the_plants_table_says_what_took(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    weak = "plant/qwen2-vl/caption/blend/2"
    rows = rows_of(items, lambda item: planted(item.settings, 60) if item.key == weak else usual(item))
    table = plants_table(join(items, rows, "plant"))
    assert len(table.rows) == 10
    (found,) = [row for row in table.rows if row["stratum"] == "low-asr"]
    assert (found["family"], found["architecture"], found["asr_payload"]) == ("blended", "qwen2-vl", 0.6)
    assert found["strength"] == "over" and found["asr_payload_trials"] == 100
    assert "6 of them attacks, 5 took" in table.note


def test_repairs_are_summed_up_by_method_with_mean_and_worst_cell(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    worst = "repair/plant/llava/caption/patch/2/guided"
    failed = "plant/qwen2-vl/caption/patch/1"

    def result(item: Item) -> Row:
        if item.key == failed:
            return planted(item.settings, 10)
        if item.settings["kind"] == "repair" and item.settings["method"] == "guided":
            return repaired(item.settings, 40 if item.key == worst else 0)
        return usual(item)

    rows = rows_of(items, result)
    plants = {entry.item.key: entry for entry in join(items, rows, "plant")}
    cells = repair_cells_table(join(items, rows, "repair"), plants)
    assert len(cells.rows) == 20
    table = repair_summary_table(cells)
    (guided,) = [
        row for row in table.rows
        if (row["split"], row["population"], row["method"], row["architecture"])
        == ("test", "planted, took", "guided", "all")
    ]  # fmt: skip
    assert guided["cells"] == 4
    assert guided["asr_payload_after"] == pytest.approx(0.4 / 4) and guided["asr_payload_before"] == 0.97
    assert guided["worst"] == 0.4 and guided["worst_cell"] == "llava/caption/patch/2"
    assert guided["cells_at_zero"] == 3
    assert (guided["asr_pooled_hits"], guided["asr_pooled_trials"]) == (40, 400)
    assert guided["asr_pooled_low"] < 0.1 < guided["asr_pooled_high"]
    assert guided["cider_kept_mean"] == guided["cider_kept_worst"] == pytest.approx(6.5 / 7.0)
    assert (
        guided["cider_worst_drop"] == 0.5 and guided["recovery_after_min"] == 0.9 and guided["asr_fresh_mean"] == 0.04
    )
    (chosen_on,) = [
        row for row in table.rows
        if (row["split"], row["population"], row["method"], row["architecture"])
        == ("development", "planted, took", "guided", "all")
    ]  # fmt: skip
    assert chosen_on["cells"] == 1 and chosen_on["worst"] == 0  # the plant that did not take is no cell to repair
    negatives = [row for row in table.rows if row["population"] == "negatives" and row["architecture"] == "all"]
    assert {row["cells"] for row in negatives} == {2} and all(row["asr_payload_after"] is None for row in negatives)


def test_a_silent_verification_is_wrong_where_the_trigger_still_works(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    loud, wrong = "repair/plant/qwen2-vl/caption/patch/2/guided", "repair/plant/llava/caption/patch/2/guided"

    def result(item: Item) -> Row:
        if item.key == loud:
            return repaired(item.settings, 40) | {"alarms_after": ["You have been hacked"]}
        return repaired(item.settings, 6) if item.key == wrong else usual(item)

    rows = rows_of(items, result)
    plants = {entry.item.key: entry for entry in join(items, rows, "plant")}
    guided, over_all = silence_table(repair_cells_table(join(items, rows, "repair"), plants)).rows
    assert (guided["method"], guided["verified"], guided["silent"], guided["wrong_hits"]) == ("guided", 4, 3, 1)
    assert guided["wrong_low"] < 1 / 3 < guided["wrong_high"]
    assert over_all["method"] == "all" and over_all["silent"] == 3


def test_what_has_not_run_or_failed_is_listed_with_the_command(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    lost, broken = items[0], items[1]
    rows = rows_of(items, lambda item: None if item in (lost, broken) else usual(item))
    told = {"type": "CheckpointError", "message": "no such folder\n  got: x"}
    rows.append({"key": broken.key, "digest": broken.digest, "status": "error", "errors": 2, "error": told})
    entries = [entry for kind in ("plant", "detect", "repair") for entry in join(items, rows, kind)]
    table = missing_table(entries, "pcr-audit bench m.toml")
    assert [(row["key"], row["status"], row["errors"]) for row in table.rows] == [
        (lost.key, "not run", 0), (broken.key, "error", 2)
    ]  # fmt: skip
    assert table.rows[1]["error"] == "CheckpointError: no such folder"
    assert {row["command"] for row in table.rows} == {"pcr-audit bench m.toml"}
    assert f"2 of {len(items)}" in table.note


def test_a_row_of_other_settings_is_no_result(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    rows = [{**row, "digest": "old"} for row in rows_of(items)]
    assert {entry.status for entry in join(items, rows, "plant")} == {"not run"}


def test_tables_and_page_are_made_from_rows_alone(tmp_path: Path) -> None:
    matrix, items = small(tmp_path)
    rows = rows_of(
        items,
        lambda item: (
            None if item.settings["method" if "method" in item.settings else "name"] == "finetune" else usual(item)
        ),
    )
    write_rows(tmp_path, rows)
    page = make_tables(matrix, items, tmp_path, "pcr-audit bench matrix.toml")
    html = page.read_text()
    assert html.count("data:image/svg+xml") >= 5
    assert "10 planned items have no result" in html and "pcr-audit bench matrix.toml" in html
    for name in (
        "plants",
        "repair",
        "silence",
        "repair-cells",
        "detection",
        "detection-models",
        "calibration",
        "missing",
    ):
        content = json.loads((page.parent / f"{name}.json").read_text())
        assert content["about"]["facts"]["test seeds"] == "2"
        with (page.parent / f"{name}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == len(content["rows"]) > 0
    plots = {path.stem for path in page.parent.glob("*.svg") if path.read_text().rstrip().endswith("</svg>")}
    assert plots == {"plants", "repair", "roc", "scores-scan", "scores-weight-spectrum"}
    again = page.read_bytes()
    make_tables(matrix, items, tmp_path, "pcr-audit bench matrix.toml")
    assert page.read_bytes() == again


def test_tables_of_an_empty_bench_say_that_nothing_is_there(tmp_path: Path) -> None:
    matrix, items = small(tmp_path)
    html = make_tables(matrix, items, tmp_path, "x").read_text()
    assert "Nothing yet" in html and f"{len(items)} planned items have no result" in html


def test_targets_cannot_break_the_page(tmp_path: Path) -> None:
    matrix, items = small(tmp_path)

    def result(item: Item) -> Row:
        found = usual(item)
        return found | {"target": "<script>alert(1)</script>"} if item.settings["kind"] == "detect" else found

    write_rows(tmp_path, rows_of(items, result))
    assert "<script>" not in make_tables(matrix, items, tmp_path, "x").read_text()


def test_numbers_are_shown_with_their_interval_and_n() -> None:
    row: Row = {"a": 0.25, "a_low": 0.1, "a_high": 0.5, "a_trials": 12, "b": None, "c": 3, "d": 0.5, "d_n": 4}
    assert show(row, "a") == "0.250 [0.100, 0.500] n=12"
    assert (show(row, "b"), show(row, "c"), show(row, "d"), show(row, "e")) == ("–", "3", "0.500 n=4", "–")
