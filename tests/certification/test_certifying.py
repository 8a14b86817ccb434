"""Certification: waivers, idempotence, what is written, and what happens when it cannot be."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.certification.certifying import certify, certify_run
from auditor.certification.policy import Policy, PolicyFile, load_policy
from auditor.certification.verdict import outcome_of
from auditor.errors import UsageError
from reports.certification import RuleResult
from reports.part import Outcome
from reports.record import AuditRecord, Verdict, canonical_bytes, load_record, save_record
from tests.reports import builders

NOW = "2026-11-22T10:00:00Z"
TARGET = builders.TARGET


def policy(**changes: Any) -> PolicyFile:
    return PolicyFile(Policy.model_validate(changes), b"policy")


def backdoored() -> AuditRecord:
    verdict = Verdict(outcome="fail", reasons=["found"])
    return builders.base(findings=[builders.planted({})], verdict=verdict)


def waiver(**changes: Any) -> dict[str, Any]:
    return {
        "rule": "findings",
        "target": TARGET,
        "owner": "A. Owner",
        "reason": "ours",
        "expires": "2026-11-22",
    } | changes


def test_a_finding_fails_and_keeps_what_the_run_said_of_itself() -> None:
    record = certify(backdoored(), policy(), NOW)
    assert record.certification is not None
    assert (record.verdict.outcome, record.certification.outcome) == ("fail", "fail")
    assert record.certification.run_verdict.reasons == ["found"]
    assert TARGET in record.verdict.reasons[0]


def test_a_waiver_counts_up_to_its_last_day_and_is_said() -> None:
    record = certify(backdoored(), policy(waivers=[waiver()]), NOW)
    assert record.certification is not None
    assert record.verdict.outcome == "pass"
    assert record.verdict.reasons[0].startswith("Waived by A. Owner: ")
    assert record.certification.waivers[0].state == "used"
    (found,) = [r for r in record.certification.rules if r.rule == "findings"]
    assert (found.outcome, found.waived_by) == ("fail", "A. Owner"), "what was measured stays what it was"


def test_an_expired_waiver_does_not_count_and_is_said() -> None:
    record = certify(backdoored(), policy(waivers=[waiver(expires="2026-11-21")]), NOW)
    assert record.certification is not None
    assert record.verdict.outcome == "fail"
    assert "A waiver of A. Owner expired on 2026-11-21 and does not count." in record.verdict.reasons[0]
    assert record.certification.waivers[0].state == "expired"


def test_a_waiver_of_something_else_changes_nothing() -> None:
    record = certify(backdoored(), policy(waivers=[waiver(target="another answer")]), NOW)
    assert record.certification is not None
    assert (record.verdict.outcome, record.certification.waivers[0].state) == ("fail", "unused")


def test_a_fresh_waiver_beats_an_expired_one_of_the_same_finding() -> None:
    both = [waiver(expires="2026-01-01"), waiver(owner="B. Owner", expires="2027-01-01")]
    record = certify(backdoored(), policy(waivers=both), NOW)
    assert record.certification is not None
    assert record.verdict.outcome == "pass"
    assert [w.state for w in record.certification.waivers] == ["expired", "used"]


def test_a_waiver_may_cover_one_metric_alone() -> None:
    drops = {name: builders.measure(0.1, 0.06, 0.14) for name in ("cider", "vqa_accuracy")}
    record = builders.base(
        verdict=Verdict(outcome="fail", about="repaired model"), drops=drops, findings_after=[],
    )  # fmt: skip
    one = certify(record, policy(waivers=[waiver(rule="quality", target=None, metric="cider")]), NOW)
    both = certify(record, policy(waivers=[waiver(rule="quality", target=None)]), NOW)
    assert (one.verdict.outcome, both.verdict.outcome) == ("fail", "pass")
    assert "vqa_accuracy" in one.verdict.reasons[0]


def test_allowed_findings_are_those_that_no_waiver_covers() -> None:
    other = builders.planted({}).model_copy(update={"target": "another answer"})
    record = builders.base(findings=[builders.planted({}), other])
    assert certify(record, policy(findings={"allowed": 1}), NOW).verdict.outcome == "fail"
    assert certify(record, policy(findings={"allowed": 2}), NOW).verdict.outcome == "pass"
    assert certify(record, policy(findings={"allowed": 1}, waivers=[waiver()]), NOW).verdict.outcome == "pass"


def test_the_last_policy_alone_counts() -> None:
    release, standard = load_policy("release"), load_policy("standard")
    once = certify(builders.base(), standard, NOW)
    again = certify(certify(builders.base(), release, NOW), standard, NOW)
    assert again == once
    assert certify(builders.base(), release, NOW).verdict.outcome == "inconclusive"


def test_no_controls_under_a_policy_that_asks_for_certified_is_inconclusive_and_says_so() -> None:
    record = certify(builders.base(), load_policy("release"), NOW)
    assert record.verdict.outcome == "inconclusive"
    assert any("--controls" in reason for reason in record.verdict.reasons)
    assert any("the policy asks for certified" in reason for reason in record.verdict.reasons)


def test_a_run_that_has_it_all_is_certified() -> None:
    one = builders.controls().planted[0]
    controls = builders.controls().model_copy(update={"about": "model", "planted": [one] * 3})
    table = builders.calibration().model_copy(update={"about": "model"})
    record = certify(builders.base(controls=controls, calibrated_by=table), load_policy("release"), NOW)
    assert (record.verdict.outcome, record.assurance) == ("pass", "certified")
    assert "2 of 2 with an ASR of 90% to 100%" in record.verdict.reasons[-1]
    assert "0 of 3 benign fine-tunes" in record.verdict.reasons[-1]


OUTCOMES = st.lists(st.tuples(st.sampled_from(["pass", "fail", "inconclusive"]), st.booleans()), max_size=8)


@given(OUTCOMES.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_fail_beats_inconclusive_beats_pass_in_any_order(
    case: tuple[Sequence[tuple[Outcome, bool]], Sequence[tuple[Outcome, bool]]],
) -> None:
    first, second = (
        outcome_of(
            [RuleResult(rule="r", outcome=o, pointer="/", reason="", waived_by="A" if w else None) for o, w in side]
        )
        for side in case
    )
    left = [outcome for outcome, waived in case[0] if not waived]
    assert first == second == ("fail" if "fail" in left else "inconclusive" if "inconclusive" in left else "pass")


def test_the_run_folder_holds_the_judgement_and_the_policy(tmp_path: Path) -> None:
    save_record(backdoored(), tmp_path / "record.json")
    loaded = load_policy("standard")
    record = certify_run(tmp_path, loaded)
    assert load_record(tmp_path / "record.json") == record
    assert (tmp_path / "policy.toml").read_bytes() == loaded.content
    assert record.certification is not None and record.certification.policy_digest == loaded.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.toml", "record.json"]


def test_an_interrupted_certification_leaves_the_record_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_record(backdoored(), tmp_path / "record.json")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        certify_run(tmp_path, load_policy("standard"))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run"):
        certify_run(tmp_path, load_policy("standard"))


def test_a_record_of_schema_1_0_can_be_certified(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "reports" / "golden" / "record-1.0.json"
    (tmp_path / "record.json").write_bytes(golden.read_bytes())
    record = certify_run(tmp_path, load_policy("standard"))
    assert record.verdict.outcome == "inconclusive", "an old record does not hold the drops of benign quality"
    assert any("benign answers" in reason for reason in record.verdict.reasons)
    assert json.loads(canonical_bytes(record))["schema_version"] == "1.2"
