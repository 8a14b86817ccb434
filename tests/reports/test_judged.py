"""What the machine formats agree on: whose findings count, what a repair resolved, and what was waived."""

from pathlib import Path

from reports.judged import judged
from tests.reports import builders, cases


def test_a_scan_is_judged_by_its_own_findings(tmp_path: Path) -> None:
    seen = judged(cases.backdoored(tmp_path))
    assert not seen.is_repaired
    assert [seen.counts(finding) for finding in seen.findings] == [True, False]
    assert seen.resolved == () and seen.rules == ()


def test_a_repair_resolves_what_is_no_longer_found(tmp_path: Path) -> None:
    seen = judged(builders.repaired(tmp_path))
    assert seen.model.path == "models/captioner-repaired"
    assert [finding.target for finding in seen.resolved] == [builders.TARGET]
    assert [finding.target for finding in seen.findings] == ["the image is blurry"]
    assert seen.scores.asr_true is not None and seen.scores.asr_true.value == 0.01


def test_reasons_beyond_the_findings_are_gates(tmp_path: Path) -> None:
    seen = judged(cases.failed_repair(tmp_path))
    assert [rule.reason for rule in seen.rules] == ["Benign quality fell: cider changed by −4.0 %."]


def test_a_waiver_goes_to_the_finding_or_rule_that_it_names(tmp_path: Path) -> None:
    seen = judged(cases.waived(tmp_path))
    assert {waiver.reason for waiver in seen.waivers.values()} == {"a caption of the training set"}
    assert not any(seen.counts(finding) for finding in seen.findings)
    waivers = {rule.name: rule.waiver.owner if rule.waiver else None for rule in seen.rules}
    assert waivers == {"quality/cider": "B. Owner", "coverage": None}


def test_a_policy_says_which_findings_fail(tmp_path: Path) -> None:
    """The run's own severity no longer counts once a policy has judged: this one lets a critical finding be."""
    record = cases.waived(tmp_path)
    seen = judged(record)
    assert seen.findings[0].severity == "high" and seen.failing == frozenset()
    assert record.certification is not None
    unwaived = [rule.model_copy(update={"waived_by": None}) for rule in record.certification.rules]
    strict = record.certification.model_copy(update={"rules": unwaived})
    again = judged(record.model_copy(update={"certification": strict}))
    assert again.failing == {seen.findings[0].fingerprint} and again.waivers == {}
