import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auditor.bench.detection import (
    Judged,
    calibration_table,
    judged,
    measure,
    models_table,
    p_values_by_model,
    population_table,
)
from auditor.bench.entries import join
from auditor.bench.metrics import fit_platt
from auditor.bench.plots import calibration_figure
from tests.bench.builders import rows_of, small


def model(split: str, stratum: str, score: float, number: int = 0, **cell: object) -> Judged:
    about = {"architecture": "llava", "task": "caption", "family": "badnets", "payload": "fixed", "rate": 0.05,
             "strength": "default", "adaptive": "none", "kind": "attack", "split": split, **cell}  # fmt: skip
    return Judged("scan", about, stratum, score, score > 1, 80.0, f"{split}/{stratum}/{number}/{score}")


def population(seed: int = 0, negatives: int = 40) -> list[Judged]:
    rng = np.random.default_rng(seed)
    counter = itertools.count()
    return [
        model(split, stratum, float(rng.normal(shift, 1)), next(counter), architecture=architecture, family=family)
        for split in ("development", "test")
        for stratum, shift, count in (("took", 2.0, 20), ("negative", 0.0, negatives), ("did not take", 0.0, 3))
        for place in range(count)
        for architecture, family in [(("llava", "qwen2-vl")[place % 2], ("badnets", "sig")[place // 2 % 2])]
    ]


def test_the_population_is_measured_on_test_models_with_what_development_taught() -> None:
    models = population()
    row = measure("all", "all", models, models)
    test = {
        side: [m.score for m in models if m.cell["split"] == "test" and m.stratum == side]
        for side in ("took", "negative")
    }
    assert (row["planted"], row["negatives"]) == (20, 40)
    truth = [1] * 20 + [0] * 40
    assert row["auc"] == pytest.approx(roc_auc_score(truth, test["took"] + test["negative"]))
    known = sorted((m.score for m in models if m.cell["split"] == "development" and m.negative), reverse=True)
    assert row["frozen_threshold"] == known[2]  # two of forty lie above it: 5 %
    assert row["frozen_fpr_hits"] == sum(score > known[2] for score in test["negative"])
    assert row["frozen_tpr_hits"] == sum(score > known[2] for score in test["took"])
    assert row["tpr_at_1"] is None
    assert 0 < row["brier"] < 0.25 and row["cross_entropy_low"] < row["cross_entropy"] < math.log(2)


def test_no_test_model_moves_a_threshold_or_a_calibration() -> None:
    models = population()
    moved = [
        m
        if m.cell["split"] == "development"
        else model("test", m.stratum, m.score + 5, n, **{k: v for k, v in m.cell.items() if k != "split"})
        for n, m in enumerate(models)
    ]
    before, after = measure("all", "all", models, models), measure("all", "all", moved, moved)
    assert before["frozen_threshold"] == after["frozen_threshold"]
    assert before["auc"] == after["auc"] and after["frozen_fpr"] == 1.0


def test_what_is_left_out_taught_nothing() -> None:
    models = population()
    rows = population_table(models).rows
    for scope, field in (("leave one attack out", "family"), ("leave one architecture out", "architecture")):
        found = {row["group"]: row for row in rows if row["scope"] == scope}
        values = {m.cell[field] for m in models}
        assert found.keys() == values
        for value, row in found.items():
            others = [m for m in models if m.cell["split"] == "development" and m.cell[field] != value]
            assert row["development_planted"] == sum(m.planted for m in others)
            assert row["development_negatives"] == sum(m.negative for m in others)
            assert row["planted"] == sum(
                m.planted and m.cell["split"] == "test" and m.cell[field] == value for m in models
            )
    architecture = next(row for row in rows if row["scope"] == "leave one architecture out")
    assert architecture["negatives"] == 20  # its own, not those of the other architectures


def test_static_triggers_have_rows_of_their_own_without_others_and_adaptive_attackers() -> None:
    models = [
        *population(),
        *(model("test", "took", -5.0, 200 + n, family="dual-key") for n in range(6)),
        *(model("test", "took", -5.0, 300 + n, adaptive="placebos") for n in range(6)),
        *(model("test", "low-asr", 1.0, 400 + n) for n in range(4)),
    ]
    rows = population_table(models).rows
    static = {row["group"]: row for row in rows if row["scope"] == "static triggers"}
    assert {value: (row["planted"], row["negatives"]) for value, row in static.items()} == {
        "took": (20, 40), "low-asr": (4, 40),
    }  # fmt: skip
    assert static["took"]["auc"] > next(row["auc"] for row in rows if row["scope"] == "all")
    left = [row for row in rows if row["scope"] == "static triggers that took, leave one attack out"]
    assert {row["group"]: row["planted"] for row in left} == {"badnets": 10, "sig": 10}


def test_plants_that_did_not_take_count_nowhere() -> None:
    models = population()
    bare = [m for m in models if m.stratum != "did not take"]
    rows, fewer = population_table(models).rows, population_table(bare).rows
    assert [row["auc"] for row in rows] == [row["auc"] for row in fewer]
    assert [row.get("cross_entropy") for row in rows] == [row.get("cross_entropy") for row in fewer]


def test_degenerate_populations_have_no_numbers_but_rows() -> None:
    only = [m for m in population() if m.negative and m.cell["split"] == "test"]
    (row,) = [row for row in population_table(only).rows if row["scope"] == "all"]
    assert row["auc"] is None and "frozen_tpr" not in row and "brier" not in row and row["negatives"] == 40
    assert population_table([]).rows == [] and calibration_table([]).rows == []
    same = [model(m.cell["split"], m.stratum, 1.0, n) for n, m in enumerate(population())]
    (row,) = [row for row in population_table(same).rows if row["scope"] == "all"]
    assert row["auc"] == 0.5 and row["frozen_tpr"] == 0 and row["frozen_fpr"] == 0


def test_negatives_are_calibrated_with_nineteen_and_not_with_eighteen() -> None:
    enough = calibration_table(population(negatives=38)).rows
    overall = [row for row in enough if row["scope"] == "all"]
    assert [row["level"] for row in overall] == [0.01, 0.05, 0.1]
    assert all(row["holds"] for row in overall) and {row["test_negatives"] for row in overall} == {38}
    assert all(row["calibration"] == "conformal" for row in enough if row["scope"] == "by architecture")  # 19 of each
    few = calibration_table(population(negatives=18)).rows
    assert {row["calibration"] for row in few} == {"none"}


def test_negatives_that_moved_are_seen_to_break_the_calibration() -> None:
    models = [
        m if m.cell["split"] == "development" else model("test", m.stratum, m.score + 3, n)
        for n, m in enumerate(population())
    ]
    rows = [row for row in calibration_table(models).rows if row["scope"] == "all"]
    assert not rows[1]["holds"] and rows[1]["rejected"] > 20


def test_every_planned_look_has_its_row_and_test_models_their_p_value(tmp_path: Path) -> None:
    _, items = small(tmp_path)
    gone = "detect/plant/llava/caption/patch/2/scan"
    wanted = [item for item in items if item.settings["kind"] != "repair" and item.key != gone]
    rows = rows_of(wanted)
    plants = {entry.item.key: entry for entry in join(items, rows, "plant")}
    detections = join(items, rows, "detect")
    models = judged(detections, plants)
    assert {m.detector for m in models} == {"scan", "scan:excess", "weight-spectrum"}
    table = models_table(detections, plants, models)
    assert len(table.rows) == 20
    (missing,) = [row for row in table.rows if row["status"] == "not run"]
    assert missing["score"] is None and missing["asr"] == 0.97
    assert all(row["p_value"] is None for row in table.rows)  # two development negatives calibrate nothing


def test_p_values_are_conformal_against_development_negatives() -> None:
    models = population()
    test = next(m for m in models if m.cell["split"] == "test" and m.planted)
    known = [m.score for m in models if m.cell["split"] == "development" and m.negative]
    assert p_values_by_model(models)[("scan", test.key)] == (1 + sum(score >= test.score for score in known)) / (
        len(known) + 1
    )


def test_p_values_of_negatives_are_drawn_where_there_are_any() -> None:
    assert calibration_figure(population(negatives=38)).startswith("data:image/svg+xml")
    assert calibration_figure(population(negatives=18)) == ""


def test_the_calibration_is_the_developments() -> None:
    models = population()
    taught = fit_platt(
        *(
            [m.score for m in models if m.cell["split"] == "development" and getattr(m, side)]
            for side in ("planted", "negative")
        )
    )
    assert taught is not None
    test = [m for m in models if m.cell["split"] == "test" and (m.planted or m.negative)]
    probabilities = taught.probabilities([m.score for m in test])
    row = measure("all", "all", models, models)
    assert row["brier"] == pytest.approx(np.mean((probabilities - [m.planted for m in test]) ** 2))
