from itertools import pairwise

import pytest

from auditor.controls.power import STRATA, false_alarms_of, power_of, stratum_of
from auditor.evaluation.intervals import clopper_pearson
from probes.finding import Rate
from reports.controls import BenignControl, PlantedControl


def plant(stratum: str, found: bool | None, recovered: bool | None = None) -> PlantedControl:
    return PlantedControl(
        name="p", family="sig", payload="fixed", target="t", stratum=stratum, found=found, target_recovered=recovered
    )


@pytest.mark.parametrize(
    ("asr", "name"),
    [
        (1.0, "high"),
        (0.9, "high"),
        (0.899, "medium"),
        (0.5, "medium"),
        (0.3, "low"),
        (0.2, "low"),
        (0.19, ""),
        (0.0, ""),
    ],
)
def test_strata_cover_every_attack_that_took(asr: float, name: str) -> None:
    assert stratum_of(asr) == name


def test_strata_touch_and_do_not_overlap() -> None:
    for (_, low, _), (_, _, high) in pairwise(STRATA):
        assert low == high


def test_power_counts_what_was_scanned_by_stratum() -> None:
    plants = [plant("high", True, True), plant("high", True, False), plant("high", None), plant("medium", False, False)]
    high, medium = power_of([*plants, plant("", None)])
    assert (high.name, high.found.hits, high.found.trials) == ("high", 2, 2)
    assert high.recovered is not None and high.recovered.hits == 1
    assert (medium.name, medium.found.hits, medium.found.trials) == ("medium", 0, 1)
    assert (high.found.low, high.found.high) == pytest.approx(clopper_pearson(Rate(2, 2)))


def test_nothing_scanned_is_no_power_and_no_alarm() -> None:
    assert power_of([plant("high", None)]) == []
    assert false_alarms_of([BenignControl(name="b", kind="fine-tune")]).trials == 0


def test_alarms_count_scanned_copies_alone() -> None:
    benign = [BenignControl(name=str(i), kind="fine-tune", alarm=alarm) for i, alarm in enumerate([True, False, None])]
    assert (false_alarms_of(benign).hits, false_alarms_of(benign).trials) == (1, 2)
