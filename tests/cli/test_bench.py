import json
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.bench.builders import MATRIX, rows_of, small, write_matrix


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_matrix(tmp_path)
    assert main(["bench", str(path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "plant      10 planned: 10 to do" in said and "repair     20 planned: 20 to do" in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["matrix.toml"]


def test_tables_are_made_of_what_is_there_and_the_exit_code_says_that_cells_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, items = small(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    rows = rows_of(items)
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:-1]))
    arguments = ["bench", str(tmp_path / "matrix.toml"), "--tables-only", "--out", str(out)]
    assert main(arguments) == 3
    assert "19 ok, 1 to do" in capsys.readouterr().out
    assert (out / "tables" / "bench.html").is_file()
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(arguments) == 0


@pytest.mark.parametrize(
    "option", [["--workers", "0"], ["--pool", "magic"], ["--attempts", "0"], ["--device", "abacus"]]
)
def test_a_wrong_option_is_a_usage_error(tmp_path: Path, option: list[str]) -> None:
    path = write_matrix(tmp_path)
    assert main(["bench", str(path), "--pool", "none", *option]) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["matrix.toml"]


def test_a_bad_matrix_is_a_usage_error_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_matrix(tmp_path, MATRIX.replace("rate = 0.05", 'rate = "much"'))
    assert main(["bench", str(path), "--dry-run"]) == 4
    assert "matrix.toml:15" in capsys.readouterr().err
    assert main(["bench", str(tmp_path / "none.toml")]) == 4
