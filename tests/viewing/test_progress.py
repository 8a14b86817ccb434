"""Progress: written while a run goes, taken in when it ends well, gone when it does not, and readable all the time."""

import json
import os
from pathlib import Path

import pytest

from auditor.viewing.progress import KEPT, ProgressLog, going_on, progress_path, read_progress, split_values


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call is written, not one in half a second."""
    monkeypatch.setattr("auditor.viewing.progress.EVERY", 0.0)


def test_named_numbers_are_told_from_the_phase() -> None:
    assert split_values("repair total 0.5 anchor 1e-3") == ("repair", {"total": 0.5, "anchor": 0.001})
    assert split_values("budget curve patch") == ("budget curve patch", {})
    assert split_values("screening 3") == ("screening 3", {})


@pytest.mark.usefixtures("eager")
def test_a_run_that_goes_on_can_be_followed(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "run", ["pcr-audit", "scan"])
    for what, share in (("search additive", 0.1), ("search additive", 0.3), ("repair total 2.0", 0.0)):
        log(what, share)
    log("repair total 1.0", 0.5)
    seen = read_progress(tmp_path / "run")
    assert (seen.state, seen.command) == ("running", ("pcr-audit", "scan"))
    assert [(phase.name, phase.share) for phase in seen.phases] == [("search additive", 1.0), ("repair", 0.5)]
    assert seen.phases[1].values == [{"total": 2.0}, {"total": 1.0}]
    assert seen.idle is not None and seen.idle < 60


def test_a_run_that_ended_well_takes_its_progress_in(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for command in ("scan", "repair"):
        log = ProgressLog(run, [command])
        log("working", 0.5)
        run.mkdir(exist_ok=True)
        log.close(finished=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert len((run / KEPT).read_text("utf-8").splitlines()) == 4
    assert read_progress(run).state == "finished"


def test_a_run_that_failed_leaves_nothing(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "run")
    log("working", 0.5)
    assert progress_path(tmp_path / "run").is_file()
    log.close(finished=False)
    assert list(tmp_path.iterdir()) == []
    assert read_progress(tmp_path / "run").state == "unknown"


def test_nothing_is_made_where_the_folder_around_the_run_is_not_there(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "deep" / "run")
    log("opening the checkpoint", 0.0)
    log.close(finished=True)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_died_without_a_word_is_noticed(tmp_path: Path) -> None:
    progress_path(tmp_path / "run").write_text(json.dumps({"pid": 2**22 + 17, "command": [], "time": 0}) + "\n")
    assert read_progress(tmp_path / "run").state == "stopped"


@pytest.mark.usefixtures("eager")
def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "run")
    log("working", 0.5)
    with progress_path(tmp_path / "run").open("a") as file:
        file.write('{"phase": "wor')
    assert [phase.name for phase in read_progress(tmp_path / "run").phases] == ["working"]


def test_one_phase_writes_at_most_every_half_second(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "run")
    for step in range(1000):
        log("search", step / 1000)
    assert len(progress_path(tmp_path / "run").read_text().splitlines()) < 20


def test_a_full_disk_stops_the_log_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    log = ProgressLog(tmp_path / "run")
    monkeypatch.setattr(Path, "open", full)
    log("working", 0.1)
    log("working harder", 0.2)


def test_the_process_that_writes_is_named(tmp_path: Path) -> None:
    ProgressLog(tmp_path / "run")("working", 0.5)
    assert json.loads(progress_path(tmp_path / "run").read_text().splitlines()[0])["pid"] == os.getpid()


def test_only_runs_whose_process_lives_are_going_on(tmp_path: Path) -> None:
    ProgressLog(tmp_path / "alive")("working", 0.5)
    progress_path(tmp_path / "dead").write_text(json.dumps({"pid": 2**22 + 17, "command": [], "time": 0}) + "\n")
    assert going_on(tmp_path) == [tmp_path / "alive"]
