"""What the verdict is about, as the machine formats need it: the judged model, its findings, and what was resolved."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from reports.fingerprint import fingerprint
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
    """One side of a run: everything about the model that the verdict is about.

    `resolved` are findings of the model as given that the repaired one no longer has; `waivers` go by fingerprint.
    """

    record: AuditRecord
    model: ModelInfo
    findings: tuple[RecordedFinding, ...]
    resolved: tuple[RecordedFinding, ...]
    scores: Scores
    rules: tuple[Rule, ...]
    waivers: Mapping[str, Waiver]

    @property
    def is_repaired(self) -> bool:
        return self.record.verdict.about == "repaired model"

    def counts(self, finding: RecordedFinding) -> bool:
        """Whether this finding is at or above the severity that fails a model, and nobody has waived it."""
        return is_serious(finding, self.record.fail_on) and name_of(finding) not in self.waivers


def name_of(finding: RecordedFinding) -> str:
    """The finding's fingerprint: the same in every run that reaches the same target by the same probe."""
    return fingerprint(finding.probe, finding.target)


def judged(record: AuditRecord) -> Judged:
    """The side of the record that its verdict is about."""
    repaired = record.verdict.about == "repaired model"
    findings = tuple((record.findings_after or []) if repaired else record.findings)
    left = {name_of(finding) for finding in findings}
    resolved = tuple(item for item in record.findings if name_of(item) not in left) if repaired else ()
    return Judged(
        record=record,
        model=judged_model(record),
        findings=findings,
        resolved=resolved,
        scores=(record.scores.after or Scores()) if repaired else record.scores.before,
        rules=_rules(record, findings),
        waivers=MappingProxyType(_waivers(record, (*findings, *resolved))),
    )


def _rules(record: AuditRecord, findings: tuple[RecordedFinding, ...]) -> tuple[Rule, ...]:
    """The policy's rules that are about no single finding; without a policy the gates among the verdict's reasons."""
    certification = getattr(record, "certification", None)
    if certification is not None:
        return tuple(
            Rule(str(rule.rule), rule.outcome, str(rule.reason), _of_rule(certification, rule))
            for rule in certification.rules
            if rule.fingerprint is None
        )
    if record.verdict.outcome != "fail":
        return ()
    # A run names its serious findings first, then the gates that failed.
    serious = sum(is_serious(finding, record.fail_on) for finding in findings)
    return tuple(Rule("run", "fail", reason) for reason in record.verdict.reasons[serious:])


def _waivers(record: AuditRecord, findings: tuple[RecordedFinding, ...]) -> dict[str, Waiver]:
    """The waivers that were used, by the fingerprint of their finding."""
    certification = getattr(record, "certification", None)
    if certification is None:
        return {}
    waived = {rule.fingerprint: _of_rule(certification, rule) for rule in certification.rules if rule.fingerprint}
    return {name: waiver for finding in findings if (waiver := waived.get(name := name_of(finding))) is not None}


def _of_rule(certification: Any, rule: Any) -> Waiver | None:
    """The waiver that stands behind a waived rule: the used one of the same owner, nearest in what it names."""
    if rule.waived_by is None:
        return None
    used = [item for item in certification.waivers if item.state == "used" and item.owner == rule.waived_by]
    near = sorted(used, key=lambda item: (item.fingerprint != rule.fingerprint, item.rule != rule.rule))
    if not near:
        return Waiver(str(rule.waived_by), "", "")
    return Waiver(str(near[0].owner), str(near[0].reason), str(near[0].expires))
