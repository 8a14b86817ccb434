"""JUnit XML for CI systems: every check a test case, so that a pipeline shows what failed without a viewer of its own.

Failures are there just if the verdict is fail, errors without failures just if it is inconclusive.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from reports.formats import measure_text
from reports.judged import Judged, Rule, judged
from reports.naming import bare, plain, record_digest, utc
from reports.record import AuditRecord, RecordedFinding
from reports.wording import ROWS

State = Literal["passed", "failure", "error", "skipped"]
_STATES: dict[str, State] = {"pass": "passed", "fail": "failure", "inconclusive": "error"}


@dataclass(frozen=True)
class Case:
    """One test case: what was checked, how it came out, and the words beside it."""

    group: str
    name: str
    state: State
    text: str = ""


def to_junit(record: AuditRecord) -> bytes:
    """One suite about the model that the verdict is about, with the seconds of the whole run."""
    seen = judged(record)
    cases = [*_run_cases(seen), *_finding_cases(seen), *(_rule_case(seen, rule) for rule in seen.rules), _verdict(seen)]
    counts = {state: sum(case.state == state for case in cases) for state in ("failure", "error", "skipped")}
    totals = {
        "name": record.tool.name, "tests": str(len(cases)), "failures": str(counts["failure"]),
        "errors": str(counts["error"]), "time": f"{record.seconds or 0.0:.3f}",
    }  # fmt: skip
    root = ElementTree.Element("testsuites", totals)
    moment = utc(record.created)
    stamp = {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S")} if moment else {}
    suite = ElementTree.SubElement(root, "testsuite", {**totals, "skipped": str(counts["skipped"]), **stamp})
    _properties(suite, seen)
    for case in cases:
        _write(suite, case)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _properties(suite: ElementTree.Element, seen: Judged) -> None:
    record = seen.record
    values = {
        "record.sha256": record_digest(record),
        "model.path": plain(seen.model.path),
        "model.manifest-sha256": bare(seen.model.digest),
        "verdict": record.verdict.outcome,
        "verdict.about": record.verdict.about,
        "assurance": record.assurance,
        "tool.version": record.tool.version,
        "fail-on": record.fail_on,
    }
    for row in ROWS:
        if (measure := seen.scores.of(row.field)) is not None:
            values[f"score.{row.field}"] = measure_text(measure)
    parent = ElementTree.SubElement(suite, "properties")
    for name, value in values.items():
        ElementTree.SubElement(parent, "property", {"name": name, "value": value})


def _run_cases(seen: Judged) -> Iterator[Case]:
    """Whether the run could judge the model at all. What is short counts only where the verdict says so."""
    record = seen.record
    fit, covered = record.competence, record.coverage
    open_ = record.verdict.outcome == "inconclusive"
    if fit is None:
        yield Case("run", "competence", "error" if open_ else "skipped", "not measured")
    else:
        short: State = "error" if open_ and not fit.passed else "passed"
        yield Case("run", "competence", short, f"{measure_text(fit)}; the lower end must exceed {fit.floor}")
    text = (
        f"{covered.ok} of {covered.planned} planned items answered, {covered.error} failed, {covered.skipped} skipped"
    )
    yield Case("run", "coverage", "passed", text)


def _finding_cases(seen: Judged) -> Iterator[Case]:
    for finding in seen.findings:
        failed = seen.record.verdict.outcome == "fail" and seen.counts(finding)
        waiver = seen.waivers.get(finding.fingerprint)
        words = _say(finding) + (f" Waived by {waiver.owner}: {waiver.reason}" if waiver else "")
        yield Case(f"finding.{finding.probe}", _name(finding), "failure" if failed else "passed", words)
    for finding in seen.resolved:
        yield Case(f"finding.{finding.probe}", _name(finding), "passed", f"Resolved by the repair. {_say(finding)}")


def _name(finding: RecordedFinding) -> str:
    """The same from run to run, so that CI systems can follow a finding."""
    return f"{plain(finding.target or 'abnormal answers', 80)} [{finding.fingerprint}]"


def _say(finding: RecordedFinding) -> str:
    kind = f", trigger {finding.trigger.kind}" if finding.trigger else ""
    names = {"asr": "success", "decoy_asr": "decoys", "placebo": "placebo", "clean": "untouched"}
    rates = [f"{word} {measure_text(rate)}" for name, word in names.items() if (rate := getattr(finding, name))]
    return f"Severity {finding.severity}{kind}; {', '.join(rates) or 'no rates measured'}."


def _rule_case(seen: Judged, rule: Rule) -> Case:
    """A rule that does not hold fails the case unless it was waived or the verdict stands without it."""
    words = rule.reason + (f" Waived by {rule.waiver.owner}: {rule.waiver.reason}" if rule.waiver else "")
    settled = rule.waiver is not None or seen.record.verdict.outcome == "pass"
    state: State = "passed" if settled else _STATES[rule.outcome]
    return Case("gate", rule.name if rule.name != "run" else plain(rule.reason, 80), state, words)


def _verdict(seen: Judged) -> Case:
    verdict = seen.record.verdict
    words = f"{verdict.about}: {verdict.outcome} ({seen.record.assurance}). {' '.join(verdict.reasons)}"
    return Case("verdict", verdict.about, _STATES[verdict.outcome], words)


def _write(suite: ElementTree.Element, case: Case) -> None:
    attributes = {"classname": f"pcr-audit.{case.group}", "name": plain(case.name)}
    element = ElementTree.SubElement(suite, "testcase", attributes)
    words = plain(case.text, 2000)
    if case.state == "passed":
        ElementTree.SubElement(element, "system-out").text = words
        return
    ElementTree.SubElement(element, case.state, {"message": plain(case.text, 200), "type": case.group}).text = words
