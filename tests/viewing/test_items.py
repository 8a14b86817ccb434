"""Items as tables: one a phase, every field a column, and what is no item counted."""

import json
from pathlib import Path

from auditor.viewing.items import as_json, read_items


def write(run: Path, *lines: str) -> Path:
    (run / "items.jsonl").write_text("\n".join(lines), "utf-8")
    return run


def row(**fields: object) -> str:
    return json.dumps(fields, ensure_ascii=False)


def test_one_table_a_phase_with_what_is_read_first_in_front(tmp_path: Path) -> None:
    run = write(
        tmp_path,
        row(answer="a square", id="a", phase="scan", prompt="What?", status="ok"),
        row(after="no", before="yes", id="b", phase="verify", stamped_after={"true": "no"}, status="ok"),
    )
    tables, broken = read_items(run)
    assert broken == 0 and [table.phase for table in tables] == ["scan", "verify"]
    assert tables[0].columns == ["id", "status", "prompt", "answer"]
    assert tables[1].columns == ["id", "status", "before", "after", "stamped after true"]


def test_a_torn_line_and_what_is_no_item_are_counted(tmp_path: Path) -> None:
    tables, broken = read_items(write(tmp_path, row(id="a"), "[1, 2]", '{"id": "b", "pro'))
    assert broken == 2 and len(tables[0].rows) == 1


def test_every_cell_is_text_and_every_row_has_every_column(tmp_path: Path) -> None:
    run = write(tmp_path, row(id="a", score=1.5, ok=True, why=None), row(id="b", extra=["x"]))
    (table,) = json.loads(as_json(run))["tables"]
    assert table["columns"] == ["id", "score", "ok", "why", "extra"]
    assert table["rows"] == [["a", "1.5", "true", "", ""], ["b", "", "", "", '["x"]']]


def test_a_run_without_items_has_no_tables(tmp_path: Path) -> None:
    assert json.loads(as_json(tmp_path)) == {"tables": [], "broken": 0}
