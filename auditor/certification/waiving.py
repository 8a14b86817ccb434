"""Waivers: a failed rule that somebody answers for does not count, until the day on which the waiver expires."""

from collections.abc import Sequence
from datetime import date

from auditor.certification.policy import Policy, Waiver
from reports.certification import RuleResult, WaiverState
from reports.record import AuditRecord, RecordedFinding


def apply_waivers(
    results: Sequence[RuleResult], record: AuditRecord, policy: Policy, today: date
) -> tuple[list[RuleResult], list[WaiverState]]:
    """The results with `waived_by` where a waiver counts, and what became of every waiver.

    A waiver that has expired says so in the reason of the rule that it would have covered.
    """
    used: set[int] = set()
    judged = [_waived(result, record, policy, today, used) for result in results]
    states = [
        WaiverState(
            rule=waiver.rule, target=waiver.target, fingerprint=waiver.fingerprint, owner=waiver.owner,
            reason=waiver.reason, expires=waiver.expires.isoformat(),
            state="expired" if waiver.expires < today else "used" if number in used else "unused",
        )
        for number, waiver in enumerate(policy.waivers)
    ]  # fmt: skip
    return _allowed(judged, policy.findings.allowed), states


def _waived(result: RuleResult, record: AuditRecord, policy: Policy, today: date, used: set[int]) -> RuleResult:
    if result.outcome == "pass":
        return result
    covering = [(n, w) for n, w in enumerate(policy.waivers) if _covers(w, result, record)]
    for number, waiver in covering:
        if waiver.expires >= today:
            used.add(number)
            return result.model_copy(update={"waived_by": waiver.owner})
    expired = [f" A waiver of {w.owner} expired on {w.expires} and does not count." for _, w in covering[:1]]
    return result.model_copy(update={"reason": result.reason + "".join(expired)})


def _covers(waiver: Waiver, result: RuleResult, record: AuditRecord) -> bool:
    rule, _, metric = result.rule.partition("/")
    if waiver.rule != rule or (waiver.metric is not None and waiver.metric != metric):
        return False
    if waiver.rule != "findings":
        return True
    finding = _finding(result, record)
    return finding is not None and waiver.is_about(finding)


def _finding(result: RuleResult, record: AuditRecord) -> RecordedFinding | None:
    """The finding that a result points to."""
    _, field, place = result.pointer.split("/") if result.pointer.count("/") == 2 else ("", "", "")
    found = {"findings": record.findings, "findings_after": record.findings_after or []}.get(field, [])
    return found[int(place)] if place.isdigit() and int(place) < len(found) else None


def _allowed(results: Sequence[RuleResult], allowed: int) -> list[RuleResult]:
    """Findings that no waiver covers pass as long as there are no more of them than the policy allows."""
    left = [r for r in results if r.rule == "findings" and r.outcome == "fail" and r.waived_by is None]
    if not left or len(left) > allowed:
        return list(results)
    words = f" The policy allows {allowed}."
    return [r.model_copy(update={"outcome": "pass", "reason": r.reason + words}) if r in left else r for r in results]
