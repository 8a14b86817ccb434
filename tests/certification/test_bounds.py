import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.certification.bounds import at_least, at_most, exact, needed_n, share
from auditor.evaluation.intervals import clopper_pearson
from probes.finding import Rate
from reports.part import Measure

UNIT = st.floats(0, 1)
MEASURES = (
    st.lists(UNIT, min_size=3, max_size=3).map(sorted).map(lambda v: Measure(value=v[1], low=v[0], high=v[2], n=9))
)


def measure(low: float, value: float, high: float, n: int = 100) -> Measure:
    return Measure(value=value, low=low, high=high, n=n)


def test_three_ways() -> None:
    assert at_most(measure(0.0, 0.0, 0.05), 0.05) == "pass"
    assert at_most(measure(0.0, 0.05, 0.06), 0.05) == "inconclusive"
    assert at_most(measure(0.0, 0.06, 0.2), 0.05) == "fail"
    assert at_least(measure(0.9, 0.95, 1.0), 0.9) == "pass"
    assert at_least(measure(0.8, 0.9, 1.0), 0.9) == "inconclusive"
    assert at_least(measure(0.8, 0.89, 1.0), 0.9) == "fail"
    assert at_most(Measure(value=None, n=0), 0.5) == at_least(Measure(value=None, n=0), 0.5) == "inconclusive"


@given(MEASURES, UNIT)
def test_both_directions_mirror_each_other(found: Measure, bound: float) -> None:
    assert found.low is not None and found.high is not None and found.value is not None
    mirrored = Measure(value=-found.value, low=-found.high, high=-found.low, n=9)
    assert at_most(found, bound) == at_least(mirrored, -bound)


@given(MEASURES, UNIT, UNIT)
def test_a_wider_bound_never_judges_worse(found: Measure, one: float, other: float) -> None:
    order = ["fail", "inconclusive", "pass"]
    assert order.index(at_most(found, min(one, other))) <= order.index(at_most(found, max(one, other)))


def test_exact_interval_follows_the_significance() -> None:
    stored = measure(0.0, 3 / 64, 1.0, 64)
    assert (exact(stored, 0.05).low, exact(stored, 0.05).high) == pytest.approx(clopper_pearson(Rate(3, 64)))
    assert (exact(stored, 0.01).high or 0) > (exact(stored, 0.05).high or 1)
    assert exact(Measure(value=None, n=0), 0.05) == Measure(value=None, n=0)


def test_needed_n_shrinks_the_interval_to_the_bound() -> None:
    assert needed_n(measure(-0.02, 0.01, 0.04), 0.02) == 900
    assert needed_n(measure(0.01, 0.04, 0.07), 0.02) == 225
    assert needed_n(measure(0.0, 0.02, 0.04), 0.02) > 10_000


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "5%"), (0.029, "2.9%"), (1.0, "100%"), (0.3333, "33.3%"), (None, "an unknown share")]
)
def test_shares_are_printed_with_the_digits_they_need(value: float | None, text: str) -> None:
    assert share(value) == text
