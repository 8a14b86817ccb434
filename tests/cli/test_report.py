"""`report RUN --format`: the documents that were asked for, and an exit code that depends on none of them."""

import hashlib
import html
import json
from pathlib import Path

import pytest

from auditor.cli.main import main
from reports.record import TriggerInfo, canonical_bytes, load_record, save_record
from reports.redaction import redact
from reports.writing import FORMATS
from tests.reports.cases import CASES

LIGHT = [name for name in FORMATS if name not in ("html", "pdf")]


def run(folder: Path, case: str) -> Path:
    save_record(CASES[case](folder), folder / "record.json")
    return folder


@pytest.mark.parametrize("case", ["clean", "backdoored", "inconclusive"])
@pytest.mark.parametrize("name", LIGHT)
def test_no_format_changes_the_exit_code(name: str, case: str, tmp_path: Path) -> None:
    folder = run(tmp_path, case)
    assert main(["report", str(folder), "--format", name]) == 0
    assert (folder / FORMATS[name]).stat().st_size > 0


def test_several_formats_are_named_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "clean")
    assert main(["report", str(folder), "--format", "sarif, junit,json"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"wrote {', '.join(str(folder / FORMATS[name]) for name in ('sarif', 'junit', 'json'))}\n"
    assert (folder / "report.json").read_bytes() == (folder / "record.json").read_bytes()


def test_all_formats_at_once(tmp_path: Path) -> None:
    folder = run(tmp_path, "clean")
    assert main(["report", str(folder), "--format", "all"]) == 0
    assert all((folder / name).exists() for kind, name in FORMATS.items() if kind != "pdf")


@pytest.mark.parametrize("given", ["docx", "sarif,docx", "", ","])
def test_an_unknown_format_is_a_usage_error(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, "clean")
    assert main(["report", str(folder), "--format", given]) == 4
    assert "model-card" in capsys.readouterr().err
    assert not (folder / "report.sarif").exists()


def test_a_baseline_may_be_a_run_or_its_record(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    run(old, "backdoored"), run(new, "failed-repair")
    for given in (old, old / "record.json"):
        assert main(["report", str(new), "--format", "sarif", "--baseline", str(given)]) == 0
        results = json.loads((new / "report.sarif").read_bytes())["runs"][0]["results"]
        assert {result["baselineState"] for result in results} == {"new", "unchanged", "updated"}
    assert main(["report", str(new), "--format", "junit", "--baseline", str(old)]) == 4
    assert main(["report", str(new), "--format", "sarif", "--baseline", str(tmp_path / "none")]) == 4


def test_the_record_is_left_as_it_was(tmp_path: Path) -> None:
    folder = run(tmp_path, "repaired")
    assert main(["report", str(folder), "--format", ",".join(LIGHT)]) == 0
    assert (folder / "record.json").read_bytes() == canonical_bytes(CASES["repaired"](folder))


def test_a_redacted_copy_says_the_verdict_and_shows_nothing_private(tmp_path: Path) -> None:
    folder = run(tmp_path, "repaired")
    full = CASES["repaired"](folder)
    assert main(["report", str(folder), "--format", "html,json,sarif,model-card", "--redact"]) == 0
    copy, page = folder / "redacted", (folder / "redacted/report.html").read_text()
    record = load_record(copy / "record.json")
    assert record.redacted and record.verdict == full.verdict and record.scores == full.scores
    assert hashlib.sha256(canonical_bytes(full)).hexdigest() in record.limits[0]
    assert full.findings[0].target in page and record.limits[0] in html.unescape(page)
    private = [*full.search.prompts, *(pair.before for pair in full.answers if pair.kind == "clean")]
    private += [path for finding in full.findings for path in finding.pictures.values()]
    everything = "".join(file.read_text() for file in copy.iterdir())
    assert len(private) > 4 and not [text for text in private if text in everything]
    assert (folder / "record.json").read_bytes() == canonical_bytes(full)


def test_a_redacted_finding_names_no_sample_and_gives_no_trigger_away(tmp_path: Path) -> None:
    record = CASES["repaired"](tmp_path)
    trigger = TriggerInfo(kind="word", path="triggers/1.safetensors", text="BadMagic")
    finding = record.findings[0].model_copy(update={"notes": ["samples: patient-17"], "trigger": trigger})
    redacted = redact(record.model_copy(update={"findings": [finding]}))
    said = canonical_bytes(redacted).decode()
    assert not [private for private in ("patient-17", "1.safetensors", "BadMagic") if private in said]
    assert redacted.findings[0].asr == finding.asr and redacted.findings[0].target == finding.target
