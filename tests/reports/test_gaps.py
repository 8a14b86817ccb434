"""What is missing from a run is said, and said in a sentence that claims nothing."""

from pathlib import Path

import pytest

from reports import gaps
from reports.controls import Calibration
from reports.record import AuditRecord
from tests.reports import builders

Runs = dict[str, tuple[AuditRecord, Path]]


def test_without_controls_nothing_is_known_of_what_was_missed() -> None:
    assert "how much this scan would have missed is not known" in gaps.controls(builders.base())


def test_with_controls_power_and_false_alarms_are_counted(runs: Runs) -> None:
    said = gaps.controls(runs["certified"][0])
    assert "2 of 2 with attack success 0.90–1.00 (95 % interval 0.16–1.00)" in said
    assert "0 alarms in 3 (95 % interval 0.00–0.71)" in said


def test_controls_that_do_not_count_are_no_power(runs: Runs) -> None:
    controls = builders.controls().model_copy(update={"power": []})
    assert "is not known" in gaps.controls(builders.base(controls=controls))


def test_without_negatives_no_p_value_stands_behind_the_verdict() -> None:
    assert "no p-value stands behind the verdict" in gaps.calibration(builders.base())


def test_a_p_value_of_the_model_as_given_is_said_to_be_that_ones(runs: Runs) -> None:
    table = builders.calibration().model_copy(update={"about": "model"})
    assert gaps.calibration(builders.base(calibrated_by=table)).startswith("p = 0.500 against 19 models")
    repaired = runs["repaired"][0].model_copy(update={"calibrated_by": table})
    assert gaps.calibration(repaired).startswith("Of the model as given: p = 0.500")
    theirs = repaired.model_copy(update={"calibrated_by": builders.calibration()})
    assert gaps.calibration(theirs).startswith("p = 0.500")


def test_too_few_negatives_give_no_p_value() -> None:
    few = Calibration(source="mine", statistic=1.0, negatives=[0.1] * 5)
    assert "fewer than 19" in gaps.calibration(builders.base(calibrated_by=few))


def test_a_policy_is_named_with_what_it_asks_for(runs: Runs) -> None:
    assert "No policy was applied" in gaps.policy(builders.base())
    assert "asks for assurance certified, the run has certified" in gaps.policy(runs["certified"][0])


@pytest.mark.parametrize("say", [gaps.attribution, gaps.quality, gaps.competence])
def test_every_gap_is_one_sentence(say: object) -> None:
    assert callable(say)
    said = say(builders.base(competence=None))
    assert said.endswith(".") and said.count(". ") == 0


def test_a_redacted_report_says_why_there_are_no_maps() -> None:
    assert "redacted" in gaps.attribution(builders.base(redacted=True))
