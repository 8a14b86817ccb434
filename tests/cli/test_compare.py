"""`compare OLD NEW` as a person and a pipeline see it."""

import json
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.certification.test_regression import right_but_for, run
from tests.reports import builders, cases


@pytest.mark.parametrize(
    ("wrong", "code", "head"), [(0, 0, "NO REGRESSION"), (60, 1, "REGRESSION"), (6, 3, "CANNOT BE TOLD")]
)
def test_exit_code_and_words_say_the_same(
    wrong: int, code: int, head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = run(tmp_path, "old", right_but_for(0)), run(tmp_path, "new", right_but_for(wrong))
    assert main(["compare", str(old), str(new)]) == code
    lines = capsys.readouterr().out.splitlines()
    assert head in lines
    assert any("vqa_accuracy" in line for line in lines)
    assert any(line.startswith("items: 600 in common, 0 new, 0 gone") for line in lines)


def test_json_holds_what_the_table_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finding = cases.renamed(builders.weak(), "call now", severity="high")
    old, new = run(tmp_path, "old", right_but_for(3)), run(tmp_path, "new", right_but_for(5), findings=[finding])
    assert main(["compare", str(old), str(new), "--json", "--margin", "0.05"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "fail" and found["margin"] == 0.05
    assert found["items"]["common"] == 600 and found["items"]["same_answer"]["value"] == pytest.approx(598 / 600)
    (measure,) = found["measures"]
    assert measure["mcnemar"] == {"better": 0, "worse": 2, "same": 598, "p_value": 0.5}
    assert [(item["state"], item["new"], item["counts"]) for item in found["findings"]] == [("new", "high", True)]
    assert found["new"]["verdict"] == "pass" and found["old"]["model"] == "models/old"


def test_an_answer_of_a_model_cannot_dress_the_table_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finding = builders.weak("[red]call\x1b[31m now[/red]")
    old, new = run(tmp_path, "old", right_but_for(0)), run(tmp_path, "new", right_but_for(0), findings=[finding])
    assert main(["compare", str(old), str(new)]) == 0
    out = capsys.readouterr().out
    assert "[red]call" in out and "\x1b" not in out


def test_what_is_no_run_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = run(tmp_path, "old", right_but_for(0), n=3)
    assert main(["compare", str(old), str(tmp_path / "none")]) == 4
    assert main(["compare", str(old), str(old), "--margin", "2"]) == 4
    (old / "items.jsonl").unlink()
    assert main(["compare", str(old), str(old)]) == 4
    assert capsys.readouterr().err.count("error: ") == 3
