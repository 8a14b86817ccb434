"""The control mapping: the ids that were asked for, evidence that can be followed, and words that claim no more."""

import hashlib
import json
import re
from datetime import date
from pathlib import Path

import pytest

from reports.errors import RecordError
from reports.frameworks.catalogue import FOLDER, RELATIONS, load_framework, load_frameworks
from reports.frameworks.evidence import SOURCES, collect, digest_of, resolve
from reports.frameworks.mapping import map_controls
from reports.record import AuditRecord, Coverage, Verdict, canonical_bytes
from tests.reports import builders

Runs = dict[str, tuple[AuditRecord, Path]]
ASKED_FOR = {
    "1-owasp-llm": ["LLM05:2026", "LLM04:2026"],
    "2-mitre-atlas": [
        "AML.T0018", "AML.T0018.000", "AML.T0018.003", "AML.T0020", "AML.T0043.004", "AML.T0010.003", "AML.T0115.001",
        "AML.M0008", "AML.M0003", "AML.M0014",
    ],
    "3-nist-ai-rmf": ["MEASURE 2.5", "MEASURE 2.7", "MEASURE 2.13"],
    "4-nist-ai-600-1": ["MS-2.7-001", "MS-2.7-007", "MS-2.7-008", "MP-4.1-007"],
    "5-nist-ai-100-2": ["NISTAML.023", "NISTAML.021", "NISTAML.024", "NISTAML.026"],
    "6-eu-ai-act": ["Art. 15(5)", "Annex IV, 2(g)", "Annex IV, 2(h)"],
    "7-iso-42001": ["A.6.2.4", "A.6.2.7"],
}  # fmt: skip
MOVED = {"LLM05:2026": ["LLM04:2025"], "LLM04:2026": ["LLM03:2025"], "AML.T0115.001": ["AML.T0058"]}


def test_exactly_the_ids_that_were_asked_for_are_mapped() -> None:
    found = {path.stem: [row.id for row in load_framework(path).row] for path in sorted(FOLDER.glob("*.toml"))}
    assert found == ASKED_FOR
    rows = [row for framework in load_frameworks() for row in framework.row]
    assert {row.id: row.former for row in rows if row.former} == MOVED


def test_every_file_says_where_it_is_from_and_when_it_was_checked() -> None:
    for framework in load_frameworks():
        assert framework.source.startswith("https://") and framework.version and framework.checked_against
        assert date(2026, 1, 1) <= framework.date <= date.today()


def test_every_row_has_evidence_and_says_what_is_left_out() -> None:
    for framework in load_frameworks():
        for row in framework.row:
            assert any(row.pointers(relation) for relation in RELATIONS), row.id
            assert row.not_covered.endswith("."), row.id


def test_what_could_not_be_checked_is_marked() -> None:
    unchecked = {row.id for framework in load_frameworks() for row in framework.row if not row.checked}
    assert unchecked == {"A.6.2.4", "A.6.2.7"}


def test_no_row_claims_compliance() -> None:
    for path in FOLDER.glob("*.toml"):
        assert not re.search(r"complian|complies|certified|guarantee", path.read_text("utf-8"), re.IGNORECASE)


@pytest.mark.parametrize("name", ["clean", "repaired", "inconclusive", "certified"])
def test_evidence_can_be_found_and_its_digest_repeated(runs: Runs, name: str) -> None:
    record, _ = runs[name]
    data = json.loads(canonical_bytes(record))
    pieces = map_controls(record).evidence
    assert pieces and len({piece.key for piece in pieces}) == len(pieces)
    for piece in pieces:
        node = resolve(data, piece.pointer)
        text = json.dumps(node, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == piece.digest


def test_results_carry_n_and_interval(runs: Runs) -> None:
    found = collect(runs["certified"][0])
    assert found["/scores/after/asr_fresh"].result == "0.02 (0.003–0.04, n = 200)"
    assert found["/controls/power"].result == "high 2 of 2 (0.16–1.00); medium 0 of 1 (0.00–0.98)"
    assert found["/controls/false_alarms"].result == "0 of 3 (0.00–0.71)"
    assert found["/findings"].result == "2 recorded, worst critical"


def test_what_was_not_measured_is_no_evidence(runs: Runs) -> None:
    found = collect(runs["inconclusive"][0])
    assert not {"/repair", "/controls/power", "/scores/after/asr_fresh", "/suspect"} & found.keys()
    rows = {row.control.id: row for _, rows in map_controls(runs["inconclusive"][0]).frameworks for row in rows}
    assert rows["AML.M0003"].evidence == ()


def test_a_changed_record_changes_the_digest() -> None:
    before = collect(builders.base())["/coverage"].digest
    after = collect(builders.base(coverage=Coverage(planned=1600, ok=1599, error=1)))["/coverage"].digest
    assert before != after


def test_a_repair_that_failed_is_not_said_to_resolve(runs: Runs) -> None:
    from reports import wording

    record = runs["repaired"][0]
    failed = record.model_copy(update={"verdict": Verdict(outcome="fail", about="repaired model")})
    assert wording.relation(record, "resolves") == "resolves"
    assert wording.relation(failed, "resolves") == "did not resolve"


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("", {"a/b": [1, {"m~n": 2}]}), ("/a~1b/0", 1), ("/a~1b/1/m~0n", 2), ("/a~1b/9", None), ("/nothing/at/all", None)],
)
def test_pointers_are_those_of_rfc_6901(pointer: str, value: object) -> None:
    assert resolve({"a/b": [1, {"m~n": 2}]}, pointer) == value


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": "Ä"}) == digest_of({"b": "Ä", "a": 1})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('detects = ["/findings"', 'detects = ["/no/such/evidence"'),
        ("not_covered", "covers_everything"),
        ("checked = true", 'checked = "perhaps, later"'),
        ("[[row]]", "[[row"),
    ],
)
def test_a_file_that_is_no_framework_is_named(tmp_path: Path, change: str, complaint: str) -> None:
    text = (FOLDER / "1-owasp-llm.toml").read_text("utf-8").replace(change, complaint, 1)
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    with pytest.raises(RecordError, match=r"mine\.toml"):
        load_framework(tmp_path / "mine.toml")


def test_every_source_of_evidence_is_used_and_named_once() -> None:
    used = {p for framework in load_frameworks() for row in framework.row for r in RELATIONS for p in row.pointers(r)}
    assert used == set(SOURCES)
