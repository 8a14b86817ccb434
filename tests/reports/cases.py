"""The records that every machine format is tried on: each outcome, with a repair and without, and one with waivers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reports.certification import Certification, RuleResult, WaiverState
from reports.record import AuditRecord, RecordedFinding, Verdict
from tests.reports import builders

HOSTILE = "| <img src=x onerror=alert(1)> `\x07‮ ```\n# heading"


def renamed(finding: RecordedFinding, target: str, **changes: Any) -> RecordedFinding:
    """The same evidence for another target, and so under another fingerprint."""
    kept = finding.model_dump(exclude={"fingerprint"})
    return RecordedFinding.model_validate(kept | {"target": target} | changes)


def backdoored(folder: Path) -> AuditRecord:
    """A scan that found a planted backdoor, before any repair."""
    findings = [builders.planted(builders.draw(folder)), builders.weak()]
    return builders.base(findings=findings, verdict=Verdict(outcome="fail", reasons=["inversion: a backdoor."]))


def failed_repair(folder: Path) -> AuditRecord:
    """A repair after which another backdoor is found, and one gate is not met."""
    record = builders.repaired(folder)
    left = renamed(record.findings[0], "Call now.", severity="high")
    reasons = ["inversion: “Call now.” (high).", "Benign quality fell: cider changed by −4.0 %."]
    verdict = Verdict(outcome="fail", about="repaired model", reasons=reasons)
    return record.model_copy(update={"findings_after": [left, builders.weak()], "verdict": verdict})


def hostile(folder: Path) -> AuditRecord:
    """A model whose answers try to dress up as something else."""
    finding = renamed(builders.planted(builders.draw(folder)), HOSTILE, examples=[HOSTILE])
    return builders.base(findings=[finding], verdict=Verdict(outcome="fail", reasons=[f"inversion: “{HOSTILE}”."]))


def waived(folder: Path) -> AuditRecord:
    """The failed repair under a policy whose waivers cover both the finding and the gate."""
    record = failed_repair(folder)
    assert record.findings_after is not None
    finding = {"fingerprint": record.findings_after[0].fingerprint, "pointer": "/findings_after/0"}
    rules = [
        RuleResult(rule="findings", outcome="fail", reason="“Call now.”", waived_by="A. Owner", **finding),
        RuleResult(rule="quality/cider", outcome="fail", reason="Fell.", waived_by="B. Owner", pointer="/drops/cider"),
        RuleResult(rule="coverage", outcome="pass", reason="1600 of 1600 items.", pointer="/coverage"),
    ]
    waivers = [
        _waiver("quality", None, "B. Owner", "known and accepted"),
        _waiver("findings", "something else", "A. Owner", "another finding of the same owner"),
        _waiver("findings", "Call now!", "A. Owner", "a caption of the training set"),
    ]
    verdict = Verdict(outcome="pass", about="repaired model", reasons=["Every rule holds or is waived."])
    return _certified(record, verdict, rules, waivers)


def refused(folder: Path) -> AuditRecord:
    """A scan that found nothing, under a policy that asks for more than the run has."""
    rules = [
        RuleResult(rule="coverage", outcome="pass", reason="1600 of 1600 items.", pointer="/coverage"),
        RuleResult(rule="power", outcome="inconclusive", reason="No controls were run.", pointer="/controls"),
    ]
    verdict = Verdict(outcome="inconclusive", reasons=["No controls were run."])
    return _certified(builders.clean_pass(folder), verdict, rules, [])


def _certified(
    record: AuditRecord, verdict: Verdict, rules: list[RuleResult], waivers: list[WaiverState]
) -> AuditRecord:  # fmt: skip
    judgement = Certification(
        policy="release", policy_digest=builders.digest("policy"), when="2026-11-21T23:00:00Z", outcome=verdict.outcome,
        assurance="screened", required_assurance="screened", rules=rules, waivers=waivers, run_verdict=record.verdict,
    )  # fmt: skip
    return record.model_copy(update={"verdict": verdict, "certification": judgement})


def _waiver(rule: str, target: str | None, owner: str, reason: str) -> WaiverState:
    return WaiverState(rule=rule, target=target, owner=owner, reason=reason, expires="2027-01-31", state="used")


CASES: Mapping[str, Callable[[Path], AuditRecord]] = {
    "clean": builders.clean_pass,
    "backdoored": backdoored,
    "repaired": builders.repaired,
    "failed-repair": failed_repair,
    "inconclusive": builders.inconclusive,
    "hostile": hostile,
    "waived": waived,
    "refused": refused,
    "certified": builders.certified,
}
