"""Documents of a run: each format in its file, and nothing else in the folder changed."""

import json
from pathlib import Path

import pytest

from reports.record import canonical_bytes, save_record
from reports.writing import DEFAULT, FORMATS, write_formats
from tests.reports import builders

MACHINE = [name for name in FORMATS if name not in DEFAULT]


@pytest.mark.parametrize("name", MACHINE)
def test_a_format_is_written_alone(name: str, tmp_path: Path) -> None:
    record = builders.clean_pass(tmp_path)
    save_record(record, tmp_path / "record.json")
    before = {path.name for path in tmp_path.iterdir()}
    assert write_formats(record, tmp_path, [name]) == [tmp_path / FORMATS[name]]
    assert {path.name for path in tmp_path.iterdir()} - before == {FORMATS[name]}
    assert (tmp_path / "record.json").read_bytes() == canonical_bytes(record)


def test_html_and_pdf_are_what_is_written_unasked(tmp_path: Path) -> None:
    record = builders.clean_pass(tmp_path)
    written = write_formats(record, tmp_path)
    if written.notice:
        pytest.skip(written.notice)
    assert [path.name for path in written] == ["report.html", "report.pdf"]
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_a_format_asked_twice_is_written_once(tmp_path: Path) -> None:
    record = builders.clean_pass(tmp_path)
    assert len(write_formats(record, tmp_path, ["json", "json"])) == 1
    assert json.loads((tmp_path / "report.json").read_bytes())["verdict"]["outcome"] == "pass"


def test_every_machine_format_names_the_record_it_was_made_from(tmp_path: Path) -> None:
    from reports.naming import record_digest

    record = builders.repaired(tmp_path)
    for name in ("html", "sarif", "cyclonedx", "junit", "model-card"):
        (path,) = write_formats(record, tmp_path, [name])
        assert record_digest(record).encode() in path.read_bytes(), name
