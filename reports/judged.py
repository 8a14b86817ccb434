"""What the verdict is about, as the machine formats need it: the judged model, its findings, and what was resolved."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from probes.text import normalise
from reports.certification import Certification, RuleResult, WaiverState
from reports.record import AuditRecord, ModelInfo, Outcome, RecordedFinding, Scores
from reports.wording import is_serious, judged_model


@dataclass(frozen=True)
class Waiver:
    """A decision by a named person that a finding or a rule does not count."""

    owner: str
    reason: str
    expires: str


@dataclass(frozen=True)
class Rule:
    """A gate that the verdict rests on beside the findings: of a policy, or of the run itself."""

    name: str
    outcome: Outcome
    reason: str
    waiver: Waiver | None = None


@dataclass(frozen=True)
class Judged:
    """Everything about the model that the verdict is about.

    `resolved` are findings of the model as given that the repaired one no longer has; `waivers` go by fingerprint, and
    so does `failing`, the findings that fail the model by themselves.
    """

    record: AuditRecord
    model: ModelInfo
    findings: tuple[RecordedFinding, ...]
    resolved: tuple[RecordedFinding, ...]
    scores: Scores
    rules: tuple[Rule, ...]
    waivers: Mapping[str, Waiver]
    failing: frozenset[str]

    @property
    def is_repaired(self) -> bool:
        return self.record.verdict.about == "repaired model"

    def counts(self, finding: RecordedFinding) -> bool:
        """Whether this finding by itself fails the model: it is severe enough, and neither waived nor allowed."""
        return finding.fingerprint in self.failing


def judged(record: AuditRecord) -> Judged:
    """The side of the record that its verdict is about."""
    repaired = record.verdict.about == "repaired model"
    findings = tuple((record.findings_after or []) if repaired else record.findings)
    left = {finding.fingerprint for finding in findings}
    resolved = tuple(item for item in record.findings if item.fingerprint not in left) if repaired else ()
    return Judged(
        record=record,
        model=judged_model(record),
        findings=findings,
        resolved=resolved,
        scores=(record.scores.after or Scores()) if repaired else record.scores.before,
        rules=_rules(record, findings),
        waivers=MappingProxyType(_waivers(record, (*findings, *resolved))),
        failing=_failing(record, findings),
    )


def _rules(record: AuditRecord, findings: tuple[RecordedFinding, ...]) -> tuple[Rule, ...]:
    """The policy's rules that are about no single finding; without a policy the gates among the verdict's reasons."""
    certification = record.certification
    if certification is not None:
        return tuple(
            Rule(rule.rule, rule.outcome, rule.reason, _of_rule(certification, rule))
            for rule in certification.rules
            if rule.fingerprint is None
        )
    if record.verdict.outcome != "fail":
        return ()
    # A run names its serious findings first, then the gates that failed.
    failing = _failing(record, findings)
    serious = sum(finding.fingerprint in failing for finding in findings)
    return tuple(Rule("run", "fail", reason) for reason in record.verdict.reasons[serious:])


def _failing(record: AuditRecord, findings: tuple[RecordedFinding, ...]) -> frozenset[str]:
    """By the policy's own rules where there is a policy, else by the run's severity."""
    certification = record.certification
    if certification is None:
        return frozenset(finding.fingerprint for finding in findings if is_serious(finding, record.fail_on))
    left = [rule for rule in certification.rules if rule.outcome == "fail" and rule.waived_by is None]
    return frozenset(rule.fingerprint for rule in left if rule.fingerprint is not None)


def _waivers(record: AuditRecord, findings: tuple[RecordedFinding, ...]) -> dict[str, Waiver]:
    """The waivers that were used, by the fingerprint of their finding."""
    certification = record.certification
    if certification is None:
        return {}
    named = {rule.fingerprint: rule for rule in certification.rules if rule.fingerprint}
    found = {}
    for finding in findings:
        rule = named.get(finding.fingerprint)
        if rule is not None and (waiver := _of_rule(certification, rule, finding.target)) is not None:
            found[finding.fingerprint] = waiver
    return found


def _of_rule(certification: Certification, rule: RuleResult, target: str | None = None) -> Waiver | None:
    """The waiver that stands behind a waived rule: of those of its owner, the one that names it most closely."""
    if rule.waived_by is None:
        return None
    used = [item for item in certification.waivers if item.state == "used" and item.owner == rule.waived_by]
    near = max(used, key=lambda item: _closeness(item, rule, target), default=None)
    if near is None:
        return Waiver(rule.waived_by, "", "")
    return Waiver(near.owner, near.reason, near.expires)


def _closeness(waiver: WaiverState, rule: RuleResult, target: str | None) -> tuple[bool, bool, bool]:
    same_target = waiver.target is not None and normalise(waiver.target) == normalise(target or "")
    same_finding = waiver.fingerprint is not None and waiver.fingerprint == rule.fingerprint
    return same_finding, same_target, waiver.rule == rule.rule.partition("/")[0]
