"""`pcr-audit view` and the progress that it follows, from the command line's side."""

import os
import webbrowser
from pathlib import Path

import pytest

from auditor.cli.main import main
from auditor.cli.progress import Reporter
from auditor.viewing.progress import KEPT, progress_path, read_progress
from auditor.viewing.server import Viewer


def test_what_is_no_run_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path), "--no-browser"]) == 4
    assert "is no run" in capsys.readouterr().err


def test_without_any_run_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["view", "--no-browser"]) == 4
    assert "pcr-audit scan" in capsys.readouterr().err


@pytest.mark.parametrize("browser", [True, False])
def test_it_says_where_it_serves_and_ends_with_ctrl_c(
    tmp_path: Path, browser: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "record.json").write_text("{}")
    opened: list[str] = []

    def interrupted(_: Viewer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Viewer, "serve_forever", interrupted)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert main(["view", str(tmp_path), "--browser" if browser else "--no-browser"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("http://127.0.0.1:") and str(tmp_path) in said
    assert opened == ([said.split()[0]] if browser else [])


def test_a_command_that_works_on_a_run_can_be_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    with Reporter(run) as reporter:
        reporter("search additive", 0.4)
        assert read_progress(run).state == "running"
        run.mkdir()
    assert (run / KEPT).is_file() and not progress_path(run).exists()
    assert f"pcr-audit view {run}" in capsys.readouterr().err


def test_a_command_that_fails_leaves_no_progress(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Reporter(tmp_path / "run") as reporter:
        reporter("search additive", 0.4)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
