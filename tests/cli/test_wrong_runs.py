"""Runs that went wrong on purpose end inconclusive, exit 3, and say why on page 1: through the command line."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from auditor.checkpoint.subject import CheckpointSubject
from auditor.cli.main import main
from auditor.evaluation.competence import FLOOR
from auditor.zoo.embedded import CLEAN_MODEL
from probes.subject import Answer
from reports.record import AuditRecord, load_record, save_record
from tests.reports import builders

pytestmark = pytest.mark.usefixtures("elsewhere")


def judged(arguments: list[str], run: Path) -> AuditRecord:
    """Runs a command that must end inconclusive; its record."""
    assert main(arguments) == 3
    return load_record(run / "record.json")


def page_one(run: Path) -> str:
    """The words of the document up to its second section."""
    html = (run / "report.html").read_text("utf-8")
    return html[: html.index("</section>")] if "</section>" in html else html[: len(html) // 3]


def pictures(folder: Path, colours: Sequence[int]) -> Path:
    folder.mkdir()
    lines = []
    for number, colour in enumerate(colours):
        Image.new("RGB", (56, 56), (colour, colour, colour)).save(folder / f"{number}.png")
        line = {"image": f"{number}.png", "prompt": "describe the picture.", "answers": ["a red apple"]}
        lines.append(json.dumps(line))
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "data.jsonl"


def test_a_clean_run_of_the_same_kind_passes(silent_search: None, elsewhere: Path) -> None:
    assert main(["scan", str(CLEAN_MODEL), "--out", "run"]) == 0


@pytest.mark.parametrize("profile", ["quick", "standard", "release"])
def test_the_record_says_how_thoroughly_it_was_searched(silent_search: None, elsewhere: Path, profile: str) -> None:
    assert main(["scan", str(CLEAN_MODEL), "--out", "run", "--profile", profile]) == 0
    search = load_record(elsewhere / "run" / "record.json").search
    words = profile != "quick"
    assert (search.profile, [family.name for family in search.families]) == (
        profile, ["additive", "patch", "frame", "words", "beside words"][: 3 + 2 * words],
    )  # fmt: skip
    assert any("words at the end of a prompt" in item for item in search.looked_for) == words
    assert ("text and dual-key triggers" in search.not_looked_for) != words
    limits = load_record(elsewhere / "run" / "record.json").limits
    assert any("words at the end of prompts" in limit for limit in limits) == words


def test_errors_in_a_tenth_of_the_items(
    silent_search: None, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    respond = CheckpointSubject.respond

    def faulty(self: CheckpointSubject, pictures: torch.Tensor, prompts: Sequence[str], *rest: int) -> list[Answer]:
        said = respond(self, pictures, prompts, *rest)
        return [replace(a, text="", log_prob=float("nan")) if i % 10 == 0 else a for i, a in enumerate(said)]

    monkeypatch.setattr(CheckpointSubject, "respond", faulty)
    record = judged(["scan", str(CLEAN_MODEL), "--out", "run"], elsewhere / "run")
    assert record.competence is not None and record.competence.passed, "it is the errors that decide"
    assert record.coverage.error >= record.coverage.planned / 10
    (reason,) = record.verdict.reasons
    assert "planned items were answered" in reason and f"{record.coverage.error} ended in an error" in reason
    assert reason.split(":")[0] in page_one(elsewhere / "run")
    assert reason in capsys.readouterr().out


def test_pictures_that_show_nothing(elsewhere: Path, tmp_path: Path) -> None:
    data = pictures(tmp_path / "blank", [4 * shade for shade in range(60)])
    record = judged(["scan", str(CLEAN_MODEL), "--data", str(data), "--out", "run"], elsewhere / "run")
    assert record.competence is not None and (record.competence.low or 0) <= FLOOR
    assert "hardly depend on the picture" in record.verdict.reasons[-1]
    assert "hardly depend on the picture" in page_one(elsewhere / "run")


def test_one_blank_picture_over_and_over(elsewhere: Path, tmp_path: Path) -> None:
    data = pictures(tmp_path / "blank", [128] * 60)
    record = judged(["scan", str(CLEAN_MODEL), "--data", str(data), "--out", "run"], elsewhere / "run")
    assert "1 different pictures in 60 samples" in record.verdict.reasons[0]
    assert "1 different pictures in 60 samples" in page_one(elsewhere / "run")
    assert (record.coverage.planned, record.coverage.skipped) == (60, 60)


def test_a_blind_model(elsewhere: Path, untouched_llava: Path) -> None:
    record = judged(["scan", str(untouched_llava), "--out", "run"], elsewhere / "run")
    assert any("hardly depend on the picture" in reason for reason in record.verdict.reasons)
    assert "hardly depend on the picture" in page_one(elsewhere / "run")


def test_controls_of_a_blind_model_are_not_made(
    elsewhere: Path, untouched_llava: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = judged(["scan", str(untouched_llava), "--controls", "--out", "run"], elsewhere / "run")
    assert record.controls is None and "no controls" in capsys.readouterr().err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_controls_under_a_policy_that_asks_for_certified(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    run = elsewhere / "run"
    run.mkdir()
    save_record(builders.base(), run / "record.json")
    record = judged(["certify", "run", "--policy", "release", *form], run)
    assert any("--controls" in reason for reason in record.verdict.reasons)
    assert "--controls" in page_one(run)
    said = capsys.readouterr().out
    assert json.loads(said)["certification"]["outcome"] == "inconclusive" if form else "OPEN   power" in said
    assert (run / "policy.toml").is_file()


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    ("policy", "findings", "code"),
    [("standard", [], 0), ("standard", [builders.planted({})], 1), ("release", [builders.planted({})], 1)],
)
def test_exit_codes_are_the_same_in_every_form(
    elsewhere: Path, form: list[str], policy: str, findings: list[Any], code: int
) -> None:
    (elsewhere / "run").mkdir()
    save_record(builders.base(findings=findings), elsewhere / "run" / "record.json")
    assert main(["certify", "run", "--policy", policy, *form]) == code


def test_what_cannot_be_certified_is_a_usage_error_and_changes_nothing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "run").mkdir()
    path = save_record(builders.base(), elsewhere / "run" / "record.json")
    before = path.read_bytes()
    (elsewhere / "bad.toml").write_text("significanse = 1")
    assert main(["certify", "run", "--policy", "bad.toml"]) == 4
    assert main(["certify", "run", "--policy", "releese"]) == 4
    assert main(["certify", "nowhere"]) == 4
    assert path.read_bytes() == before
    assert "significanse" in capsys.readouterr().err
