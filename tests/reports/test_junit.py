"""JUnit: valid by the schema that Jenkins' xUnit plugin uses, and red just when the verdict is no pass."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from lxml import etree

from reports.junit import to_junit
from reports.record import AuditRecord, Competence
from tests.reports import builders
from tests.reports.cases import CASES

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "schemas" / "junit-10.xsd"))


def written(record: AuditRecord) -> ElementTree.Element:
    text = to_junit(record)
    SCHEMA.assertValid(etree.fromstring(text))
    return ElementTree.fromstring(text)


def test_the_schema_refuses_what_is_no_junit() -> None:
    assert not SCHEMA.validate(etree.fromstring("<testsuites><testsuite name='x'/></testsuites>"))


@pytest.mark.parametrize("name", CASES)
def test_failures_mean_fail_and_errors_alone_inconclusive(name: str, tmp_path: Path) -> None:
    record = CASES[name](tmp_path)
    suite = written(record)[0]
    bad = {state: len(suite.findall(f"testcase/{state}")) for state in ("failure", "error")}
    assert (int(suite.get("failures", "")), int(suite.get("errors", ""))) == (bad["failure"], bad["error"])
    assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    outcome = "fail" if bad["failure"] else "inconclusive" if bad["error"] else "pass"
    assert outcome == record.verdict.outcome


def test_a_finding_is_a_case_that_keeps_its_name(tmp_path: Path) -> None:
    suite = written(CASES["backdoored"](tmp_path))[0]
    failed = [case for case in suite.findall("testcase") if case.find("failure") is not None]
    finding = failed[0]
    assert finding.get("classname") == "pcr-audit.finding.inversion"
    assert builders.planted({}).fingerprint in (finding.get("name") or "")
    assert "success 0.98 (0.95–0.99, n = 200)" in (finding.findtext("failure") or "")


def test_what_a_repair_resolved_is_a_passing_case(tmp_path: Path) -> None:
    suite = written(builders.repaired(tmp_path))[0]
    resolved = [case for case in suite.findall("testcase") if builders.TARGET in (case.get("name") or "")]
    assert [(case.findtext("system-out") or "").startswith("Resolved") for case in resolved] == [True]


def test_a_blind_model_is_an_error_of_its_own_case(tmp_path: Path) -> None:
    suite = written(builders.inconclusive(tmp_path))[0]
    assert suite.find("testcase[@name='competence']/error") is not None
    not_measured = builders.inconclusive(tmp_path).model_copy(update={"competence": None})
    assert written(not_measured)[0].find("testcase[@name='competence']/error") is not None


def test_a_policy_that_passes_a_weak_model_is_not_overruled(tmp_path: Path) -> None:
    weak = Competence(value=0.05, low=0.02, high=0.08, n=9, floor=0.1, passed=False)
    record = builders.clean_pass(tmp_path).model_copy(update={"competence": weak})
    assert written(record)[0].get("errors") == "0"
