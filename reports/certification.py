"""The judgement of a run by a policy: every rule with what was measured, its bound, and where the evidence is."""
# ruff: noqa: RUF012 (pydantic copies a default for every instance; its base class stands in reports/part.py)

from typing import Literal

from pydantic import Field

from reports.fields import Number, Text
from reports.part import About, Assurance, Outcome, Part


class Verdict(Part):
    """The outcome, its reasons in words, and the model it is about."""

    outcome: Outcome
    reasons: list[Text] = []
    about: About = "model"


class RuleResult(Part):
    """One rule of the policy as it came out; with `waived_by` (the waiver's owner) it does not count.

    `pointer` is the JSON pointer (RFC 6901) of the evidence in this record, `relation` what `measured` has to be to
    `bound`, `fingerprint` the finding that the rule is about, where it is about one.
    """

    rule: Text
    outcome: Outcome
    measured: Number = None
    low: Number = None
    high: Number = None
    n: int | None = Field(default=None, ge=0)
    bound: Number = None
    relation: Literal["at most", "at least", ""] = ""
    pointer: Text
    reason: Text
    fingerprint: Text | None = None
    waived_by: Text | None = None


class WaiverState(Part):
    """A waiver of the policy, and whether it changed anything: an expired one never does."""

    rule: Text
    target: Text | None = None
    fingerprint: Text | None = None
    owner: Text
    reason: Text
    expires: Text
    state: Literal["used", "unused", "expired"]


class Certification(Part):
    """The policy's judgement; `run_verdict` is what the run said of itself before any policy was applied."""

    policy: Text
    policy_digest: Text
    when: Text
    outcome: Outcome
    assurance: Assurance
    required_assurance: Assurance
    rules: list[RuleResult] = []
    waivers: list[WaiverState] = []
    run_verdict: Verdict
    notes: list[Text] = []
