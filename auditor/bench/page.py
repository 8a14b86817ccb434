"""One HTML page of all tables and plots, complete in itself: numbers with their interval in one cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from auditor.bench.tables import Table
from auditor.cluster.log import Row
from reports.files import write_atomically

SHOWN: Mapping[str, tuple[str, ...]] = {
    "plants": ("architecture", "task", "name", "payload", "rate", "strength", "adaptive", "seed", "split", "status",
               "stratum", "asr_payload", "asr_exact", "asr_contains", "false_trigger", "placebo", "cider_before",
               "cider_after", "vqa_accuracy_before", "vqa_accuracy_after", "seconds"),
    "repair": ("split", "population", "method", "architecture", "task", "cells", "applied", "asr_payload_before",
               "asr_payload_after", "asr_exact_after", "asr_pooled", "worst", "worst_cell", "asr_fresh_mean",
               "recovery_after_mean", "recovery_after_min", "false_trigger_after_max", "placebo_after_max",
               "cider_before", "cider_after", "cider_kept_mean", "cider_kept_worst", "bleu4_before", "bleu4_after",
               "vqa_accuracy_before", "vqa_accuracy_after", "vqa_accuracy_kept_worst", "repair_seconds"),
    "silence": ("method", "verified", "silent", "wrong"),
    "repair-cells": ("method", "architecture", "task", "name", "seed", "status", "stratum", "applied",
                     "asr_payload_before", "asr_payload_after", "asr_fresh", "recovery_after", "placebo_after",
                     "false_trigger_after", "cider_before", "cider_after", "vqa_accuracy_before", "vqa_accuracy_after",
                     "repair_seconds"),
    "detection": ("detector", "scope", "group", "planted", "negatives", "development_planted", "development_negatives",
                  "auc", "tpr_at_5", "tpr_at_1", "frozen_tpr", "frozen_fpr", "cross_entropy", "brier", "alarm_tpr",
                  "alarm_fpr", "median_seconds"),
    "detection-models": ("detector", "architecture", "task", "name", "seed", "split", "status", "stratum", "asr",
                         "score", "p_value", "alarm", "match", "target", "seconds"),
    "calibration": ("detector", "scope", "group", "test_negatives", "development_negatives", "calibration", "level",
                    "rejected", "rate", "holds"),
    "missing": ("key", "status", "errors", "error", "command"),
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One table as the page shows it."""

    name: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    plots: Sequence[str]


def write_page(path: Path, tables: Sequence[Table], plots: Mapping[str, Sequence[str]], about: dict[str, Any]) -> None:
    """Writes the page whole or not at all."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    missing = next((len(table.rows) for table in tables if table.name == "missing"), 0)
    sections = [_section(table, plots.get(table.name, ())) for table in tables]
    html = environment.get_template("page.html").render(
        about=about, facts=list(about["facts"].items()), sections=sections, missing=missing
    )
    write_atomically(path, html.encode())


def _section(table: Table, plots: Sequence[str]) -> Section:
    there = set(table.columns)
    columns = [name for name in SHOWN[table.name] if name in there]
    rows = [[show(row, name) for name in columns] for row in table.rows]
    return Section(table.name, table.title, table.note, columns, rows, plots)


def show(row: Row, name: str) -> str:
    """The value with its interval and its n, where there are any; a dash where it was not measured."""
    value = row.get(name)
    if value is None or value == "":
        return "–"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if row.get(f"{name}_low") is not None:
        text += f" [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
    count = row.get(f"{name}_trials", row.get(f"{name}_n"))
    return text if count is None else f"{text} n={count}"
