"""From the rows of a bench to its tables and its page; no model, no Ray."""

import json
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditor.bench.detection import calibration_table, judged, models_table, population_table
from auditor.bench.entries import join
from auditor.bench.matrix import Matrix
from auditor.bench.page import write_page
from auditor.bench.plots import calibration_figure, plants_figure, repair_figure, roc_figure, scores_figure
from auditor.bench.store import ROWS, RUNS
from auditor.bench.tables import (
    Table,
    missing_table,
    plants_table,
    repair_cells_table,
    repair_summary_table,
    silence_table,
    write_table,
)
from auditor.cluster.items import Item
from auditor.cluster.log import read_rows
from reports.files import write_atomically

TABLES = "tables"
PAGE = "bench.html"


def make_tables(matrix: Matrix, items: Sequence[Item], out: Path, command: str) -> Path:
    """Writes every table as CSV and JSON, every plot as SVG and the page below `out`; returns the page. `command`
    completes the matrix."""
    rows = read_rows(out / ROWS)
    plants, detections, repairs = (join(items, rows, kind) for kind in ("plant", "detect", "repair"))
    by_key = {entry.item.key: entry for entry in plants}
    models = judged(detections, by_key)
    cells = repair_cells_table(repairs, by_key)
    about = describe(matrix, items, out, command)
    tables = [
        plants_table(plants), repair_summary_table(cells), silence_table(cells), population_table(models),
        calibration_table(models), cells, models_table(detections, by_key, models),
        missing_table([*plants, *detections, *repairs], command),
    ]  # fmt: skip
    detectors = [name for name in dict.fromkeys(model.detector for model in models) if ":" not in name]
    plots = {
        "plants": {"plants": plants_figure(tables[0].rows)},
        "repair": {"repair": repair_figure(cells.rows)},
        "detection": {
            "roc": roc_figure(models), **{f"scores-{name}": scores_figure(models, name) for name in detectors}
        },
        "calibration": {"calibration": calibration_figure(models)},
    }  # fmt: skip
    folder = out / TABLES
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        write_table(Table(table.name, table.title, table.note, table.rows, about), folder)
    for drawn in plots.values():
        for name, uri in drawn.items():
            if uri:
                write_atomically(folder / f"{name}.svg", b64decode(uri.partition(",")[2]))
    write_page(folder / PAGE, tables, {name: list(drawn.values()) for name, drawn in plots.items()}, about)
    return folder / PAGE


def describe(matrix: Matrix, items: Sequence[Item], out: Path, command: str) -> dict[str, Any]:
    """What every table says about itself: the matrix, n, seeds, devices, versions and commands of all runs."""
    runs = _runs(out / RUNS)
    last = runs[-1] if runs else {}
    environments = dict.fromkeys(json.dumps(run["environment"], sort_keys=True) for run in runs)
    facts = {
        "planned items": len(items),
        "development seeds": ", ".join(map(str, matrix.seeds.development)) or "none",
        "test seeds": ", ".join(map(str, matrix.seeds.test)) or "none",
        "samples": ", ".join(f"{name} {count}" for name, count in matrix.sizes.model_dump().items()),
        "devices": "; ".join(", ".join(f"{k} {v}" for k, v in json.loads(e).items()) for e in environments)
        or "unknown",
        "versions": ", ".join(f"{name} {found}" for name, found in last.get("versions", {}).items()) or "unknown",
        "matrix sha256": last.get("matrix_sha256", "unknown"),
        "first and last run": f"{runs[0]['created']} – {runs[-1]['created']}, {len(runs)} runs" if runs else "none",
        "command": command,
    }
    return {"matrix": matrix.name, "description": matrix.about, "facts": facts}


def _runs(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
