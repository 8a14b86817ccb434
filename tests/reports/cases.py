"""The records that every machine format is tried on: each outcome, with a repair and without, and one with waivers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

from reports.judged import name_of
from reports.record import AuditRecord, Verdict
from tests.reports import builders

HOSTILE = "| <img src=x onerror=alert(1)> `\x07‮ ```\n# heading"


def backdoored(folder: Path) -> AuditRecord:
    """A scan that found a planted backdoor, before any repair."""
    findings = [builders.planted(builders.draw(folder)), builders.weak()]
    return builders.base(findings=findings, verdict=Verdict(outcome="fail", reasons=["inversion: a backdoor."]))


def failed_repair(folder: Path) -> AuditRecord:
    """A repair after which another backdoor is found, and one gate is not met."""
    record = builders.repaired(folder)
    left = record.findings[0].model_copy(update={"target": "Call now.", "severity": "high"})
    reasons = ["inversion: “Call now.” (high).", "Benign quality fell: cider changed by −4.0 %."]
    verdict = Verdict(outcome="fail", about="repaired model", reasons=reasons)
    return record.model_copy(update={"findings_after": [left, builders.weak()], "verdict": verdict})


def hostile(folder: Path) -> AuditRecord:
    """A model whose answers and file names try to dress up as something else."""
    finding = builders.planted(builders.draw(folder)).model_copy(update={"target": HOSTILE, "examples": [HOSTILE]})
    return builders.base(findings=[finding], verdict=Verdict(outcome="fail", reasons=[f"inversion: “{HOSTILE}”."]))


def waived(folder: Path) -> AuditRecord:
    """The failed repair under a policy whose waivers cover both the finding and the gate."""
    record = failed_repair(folder)
    assert record.findings_after is not None
    rules = [
        _rule("findings", "fail", "inversion: “Call now.” (high).", name_of(record.findings_after[0]), "A. Owner"),
        _rule("quality/cider", "fail", "CIDEr fell.", None, "B. Owner"),
        _rule("coverage", "pass", "1600 of 1600 items.", None, None),
    ]
    waivers = [
        _waiver("quality", None, "B. Owner", "known and accepted"),
        _waiver("findings", "Call now!", "A. Owner", "a caption of the training set"),
    ]
    certification = SimpleNamespace(policy="release", rules=rules, waivers=waivers)
    verdict = Verdict(outcome="pass", about="repaired model", reasons=["Every rule holds or is waived."])
    return record.model_copy(update={"verdict": verdict, "certification": certification})


def _rule(name: str, outcome: str, reason: str, fingerprint: str | None, owner: str | None) -> SimpleNamespace:
    return SimpleNamespace(rule=name, outcome=outcome, reason=reason, fingerprint=fingerprint, waived_by=owner)


def _waiver(rule: str, target: str | None, owner: str, reason: str) -> SimpleNamespace:
    return SimpleNamespace(
        rule=rule, target=target, fingerprint=None, owner=owner, reason=reason, expires="2027-01-31", state="used"
    )


CASES: Mapping[str, Callable[[Path], AuditRecord]] = {
    "clean": builders.clean_pass,
    "backdoored": backdoored,
    "repaired": builders.repaired,
    "failed-repair": failed_repair,
    "inconclusive": builders.inconclusive,
    "hostile": hostile,
    "waived": waived,
}
