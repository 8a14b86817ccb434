"""The items of a run as tables: one a phase, nested answers as columns of their own."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ITEMS = "items.jsonl"
FIRST = ("id", "status", "prompt", "reference", "answer", "before", "after")
"""Columns that a reader looks for first, in this order; the others follow as they come."""


@dataclass
class Table:
    """The items of one phase: named columns, and a row of texts an item."""

    phase: str
    columns: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)


def read_items(run: Path) -> tuple[list[Table], int]:
    """Every table of the run, and how many lines were no items (a torn last line is one)."""
    tables: dict[str, Table] = {}
    broken = 0
    for line in _lines(run / ITEMS):
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            item = None
        if not isinstance(item, dict):
            broken += 1
            continue
        phase = str(item.pop("phase", "items"))
        tables.setdefault(phase, Table(phase)).rows.append(dict(_flat(item)))
    for table in tables.values():
        names = dict.fromkeys(name for row in table.rows for name in row)
        table.columns = [name for name in FIRST if name in names] + [name for name in names if name not in FIRST]
    return list(tables.values()), broken


def as_json(run: Path) -> str:
    """The tables as the page reads them."""
    tables, broken = read_items(run)
    shown = [
        {"phase": t.phase, "columns": t.columns, "rows": [[row.get(c, "") for c in t.columns] for row in t.rows]}
        for t in tables
    ]
    return json.dumps({"tables": shown, "broken": broken}, ensure_ascii=False)


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from (line for line in file if line.strip())


def _flat(item: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in item.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        else:
            yield f"{before}{name}".replace("_", " "), _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
