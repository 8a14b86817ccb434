"""The statement: its form is in-toto's, its names are plain paths, and other kinds of statement are refused."""

import json
from typing import Any

import pytest

from auditor.certification.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Statement,
    Subject,
    check_name,
    read_statement,
)
from auditor.errors import DataError, UnsafeError

DIGEST = "ab" * 32


def payload(**changes: Any) -> bytes:
    subject = {"name": "config.json", "digest": {"sha256": DIGEST}, "annotations": {"role": "model"}}
    data = {"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": PREDICATE_TYPE, "predicate": {}}
    return json.dumps(data | changes).encode()


def test_a_statement_comes_back_as_it_was_written() -> None:
    subjects = (Subject("sub/ü.json", DIGEST, "model"), Subject("run:record.json", DIGEST, "record"))
    statement = Statement(subjects, {"verdict": {"outcome": "pass"}, "scores": [0.1]})
    assert read_statement(statement.to_bytes(), "there") == statement
    assert statement.of_role("record", "report") == {"run:record.json": DIGEST}


def test_the_form_is_in_totos() -> None:
    data = json.loads(Statement((Subject("a", DIGEST, "model"),), {}).to_bytes())
    assert data == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a", "digest": {"sha256": DIGEST}, "annotations": {"role": "model"}}],
        "predicateType": "https://pcr-audit.dev/audit/v1",
        "predicate": {},
    }


def test_fields_of_later_minor_versions_are_ignored() -> None:
    subject = {"name": "a", "digest": {"sha256": DIGEST, "sha512": "x"}, "uri": "x", "annotations": {"role": "new"}}
    read = read_statement(payload(subject=[subject], more=1), "there")
    assert read.subjects == (Subject("a", DIGEST, "new"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://pcr-audit.dev/audit/v2"},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"subject": {}},
        {"predicate": None},
        {"subject": [{"name": "a"}]},
        {"subject": [{"name": "a", "digest": {"sha1": "ab"}}]},
        {"subject": [{"name": "a", "digest": {"sha256": DIGEST.upper()}}]},
        {"subject": [{"digest": {"sha256": DIGEST}}]},
        {"subject": ["a"]},
    ],
)
def test_another_kind_of_statement_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no statement that this version understands"):
        read_statement(payload(**changes), "there")


@pytest.mark.parametrize("raw", [b"", b"[]", b"3", b"\xff"])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(DataError):
        read_statement(raw, "there")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "/etc/passwd",
        "a//b",
        "a/",
        "a\\b",
        "C:\\a",
        "C:a",
        "a\nb",
        "a\0b",
        "\ud800",
        "run:",
        "run:../record.json",
        "run:/etc/passwd",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UnsafeError):
        check_name(name, "there")
    subject = {"name": name, "digest": {"sha256": DIGEST}}
    with pytest.raises(UnsafeError):
        read_statement(payload(subject=[subject]), "there")


@pytest.mark.parametrize("name", ["a", "a/b.json", "...", ".gitattributes", "run:record.json", "ü 1.json", "a..b"])
def test_plain_names_are_taken(name: str) -> None:
    check_name(name, "there")


def test_two_subjects_of_one_name_are_refused() -> None:
    subject = {"name": "a", "digest": {"sha256": DIGEST}}
    with pytest.raises(UnsafeError, match="same name"):
        read_statement(payload(subject=[subject, subject]), "there")
