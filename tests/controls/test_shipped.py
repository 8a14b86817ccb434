"""Calibration tables that come with the tool: whom they fit, and what they say."""

import json
from pathlib import Path

import pytest
import torch

from auditor.checkpoint.opening import Opened
from auditor.controls.shipped import FOLDER, LEAST, Table, geometry, search_digest, shipped

NEGATIVES = {f"fine-tune/{number}": 0.1 * number for number in range(LEAST)}


def write(folder: Path, opened: Opened, **changes: object) -> Path:
    table = {
        "name": "small", "about": "Fine-tunes.", "geometry": geometry(opened.subject.weights()), "profile": "quick",
        "search": search_digest("quick"), "pool": 96, "held_out": 64, "made_by": "by hand", "statistics": NEGATIVES,
    }  # fmt: skip
    (folder / "small.json").write_text(json.dumps({**table, **changes}))
    return folder


@pytest.mark.parametrize(("statistic", "p"), [(9.0, 1 / 20), (0.0, 1.0), (1.0, 10 / 20), (float("nan"), 1.0)])
def test_the_p_value_counts_negatives_that_are_as_extreme(
    opened: Opened, tmp_path: Path, statistic: float, p: float
) -> None:
    found = shipped(opened, "quick", (96, 64), statistic, write(tmp_path, opened))
    assert found is not None and found.p_value == pytest.approx(p)
    assert (found.names, found.negatives, found.about) == (list(NEGATIVES), list(NEGATIVES.values()), "model")


@pytest.mark.parametrize(
    "changes",
    [
        {"geometry": "0" * 64},
        {"profile": "standard"},
        {"search": search_digest("standard")},
        {"pool": 24},
        {"held_out": 32},
        {"statistics": dict(list(NEGATIVES.items())[1:])},
    ],
)
def test_a_table_of_other_models_or_searches_or_too_few_says_nothing(
    opened: Opened, tmp_path: Path, changes: dict[str, object]
) -> None:
    assert shipped(opened, "quick", (96, 64), 1.0, write(tmp_path, opened, **changes)) is None


def test_fine_tunes_have_the_geometry_of_their_base_and_nothing_else_has() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
    assert geometry({"b": torch.ones(4), "a": torch.ones(2, 3)}) == geometry(base)
    assert geometry(base | {"a": torch.zeros(3, 2)}) != geometry(base) != geometry({"a": base["a"]})


def test_the_tables_that_come_along_are_large_enough_and_told_apart() -> None:
    tables = [Table(**json.loads(path.read_text())) for path in FOLDER.glob("*.json")]
    assert tables and all(len(table.statistics) >= LEAST for table in tables)
    assert len({(table.geometry, table.profile) for table in tables}) == len(tables)


def test_the_tables_that_come_along_are_of_the_search_as_it_is() -> None:
    for path in FOLDER.glob("*.json"):
        table = Table(**json.loads(path.read_text()))
        assert table.search == search_digest(table.profile), f"make {path.name} anew: benchmarks/calibration.py"
