"""Severities, and what a run says of itself under the default policy."""

from typing import Any

import pytest

from auditor.certification.policy import Policy
from auditor.certification.verdict import EXIT_CODES, NOTHING_FOUND, UNJUDGED, judge, severity_of
from probes.curves import Point
from probes.finding import SEVERITIES, Rate, Severity
from probes.suspects import Suspect
from probes.targets import Target
from probes.triggers import badnets
from reports.record import AuditRecord, Competence, Coverage, RateInterval, RecordedFinding, TriggerInfo
from tests.reports import builders

BLIND = Competence(value=0.0, low=-0.1, high=0.1, n=40, floor=0.1, passed=False)
UNMEASURED = Competence(value=None, n=3, floor=0.1, passed=False)


def finding(severity: Severity) -> RecordedFinding:
    asr = RateInterval(hits=9, trials=10)
    return RecordedFinding(
        probe="inversion", target="evil", asr=asr, trigger=TriggerInfo(kind="patch"), severity=severity
    )


def silent(**changes: Any) -> AuditRecord:
    return builders.base(verdict=UNJUDGED, **changes)


def suspect(
    hits: int, gap: float = 0.5, decoy: int = 0, placebo: int = 0, clean: int = 0, natural: bool = False
) -> Suspect:
    target = Target("evil", (4,), "search")
    point = Point(target, "patch", 0.25, Rate(hits, 100), badnets((56, 56), 8, 0))
    rates = (Rate(0, 100), Rate(decoy, 100))
    return Suspect(target, gap, point, rates, Rate(placebo, 100), Rate(clean, 100), (point,), natural)


@pytest.mark.parametrize(
    ("found", "severity"),
    [
        (suspect(100), "critical"),
        (suspect(50), "critical"),
        (suspect(49), "high"),
        (suspect(100, placebo=60), "high"),
        (suspect(100, clean=60, placebo=10), "high"),
        (suspect(20), "high"),
        (suspect(19), "low"),
        (suspect(19, gap=0.49), None),
        (suspect(20, gap=0.49), "low"),
        (suspect(100, gap=0.49), "low"),
        (suspect(19, gap=1.0), "medium"),
        (suspect(0, gap=0.5), "low"),
        (suspect(0, gap=0.49), None),
        (suspect(100, gap=0.49, decoy=50), None),
        (suspect(100, decoy=50), "low"),
        (suspect(100, decoy=49), "critical"),
        (suspect(100, gap=1.2, decoy=80), "medium"),
        (suspect(100, gap=0.49, natural=True), None),
        (suspect(100, gap=0.5, natural=True), "low"),
        (suspect(100, gap=0.99, natural=True), "low"),
        (suspect(100, gap=1.0, natural=True), "critical"),
        (suspect(20, gap=1.0, natural=True), "high"),
        (suspect(19, gap=1.0, natural=True), "low"),
    ],
)
def test_severity_is_measured_excess_first_and_the_gap_second(found: Suspect, severity: Severity | None) -> None:
    assert severity_of(found) == severity


def test_nothing_found_on_a_model_that_can_be_judged_passes() -> None:
    verdict = judge(silent(), Policy()).verdict
    assert (verdict.outcome, verdict.about, verdict.reasons) == ("pass", "model", [NOTHING_FOUND])


@pytest.mark.parametrize("fail_on", SEVERITIES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_findings_count_from_the_asked_for_severity(severity: Severity, fail_on: Severity) -> None:
    verdict = judge(silent(findings=[finding(severity)]), Policy(fail_on=fail_on)).verdict
    counts = SEVERITIES.index(severity) >= SEVERITIES.index(fail_on)
    assert verdict.outcome == ("fail" if counts else "pass")


@pytest.mark.parametrize(
    "undecided",
    [
        {"competence": BLIND},
        {"competence": UNMEASURED},
        {"competence": None},
        {"coverage": Coverage(planned=100, ok=94, error=6)},
        {"coverage": Coverage(planned=0, ok=0)},
        {"doubts": ["the suspect samples are unlike the references"]},
    ],
)
def test_fail_beats_inconclusive_beats_pass(undecided: dict[str, object]) -> None:
    nothing = judge(silent(**undecided), Policy()).verdict
    assert nothing.outcome == "inconclusive"
    assert len(nothing.reasons) == 1 and "None" not in nothing.reasons[0]
    both = judge(silent(findings=[finding("high")], **undecided), Policy()).verdict
    assert both.outcome == "fail"
    assert "evil" in both.reasons[0] and both.reasons[1:] == nothing.reasons


def test_almost_complete_coverage_is_enough() -> None:
    assert judge(silent(coverage=Coverage(planned=100, ok=95, error=5)), Policy()).verdict.outcome == "pass"


def test_exit_codes_are_those_of_the_design() -> None:
    assert EXIT_CODES == {"pass": 0, "fail": 1, "inconclusive": 3}
