"""A measure with its interval against a bound, three ways: within it, beyond it, or not shown with so few items."""

import math

from auditor.evaluation.intervals import clopper_pearson
from probes.finding import Rate
from reports.part import Measure, Outcome


def exact(measure: Measure, significance: float) -> Measure:
    """A rate with its exact interval at 1 − significance, whatever level it was recorded with."""
    if measure.value is None or not measure.n:
        return measure
    low, high = clopper_pearson(Rate(round(measure.value * measure.n), measure.n), 1 - significance)
    return measure.model_copy(update={"low": low, "high": high})


def at_most(measure: Measure, bound: float) -> Outcome:
    """Fail where the value itself is above the bound, pass where its upper end is not, else inconclusive."""
    if measure.value is None or measure.high is None:
        return "inconclusive"
    return "fail" if measure.value > bound else "pass" if measure.high <= bound else "inconclusive"


def at_least(measure: Measure, bound: float) -> Outcome:
    """Fail where the value itself is below the bound, pass where its lower end is not, else inconclusive."""
    if measure.value is None or measure.low is None:
        return "inconclusive"
    return "fail" if measure.value < bound else "pass" if measure.low >= bound else "inconclusive"


def needed_n(measure: Measure, bound: float) -> int:
    """About how many items would settle which side of the bound the measure is on, if its value stayed as it is.

    An interval shrinks with the square root of n; at 0 hits, where the exact interval shrinks with n, that is too many
    rather than too few. A value that equals the bound needs more than anybody has.
    """
    value, low, high = measure.value or 0.0, measure.low or 0.0, measure.high or 0.0
    distance, reach = (bound - value, high - value) if value <= bound else (value - bound, value - low)
    return math.ceil(measure.n * (reach / max(distance, 1e-3)) ** 2)


def share(value: float | None) -> str:
    """A share in per cent, one decimal where it is needed."""
    return (
        "an unknown share"
        if value is None
        else f"{value:.0%}"
        if round(value * 100, 1).is_integer()
        else f"{value:.1%}"
    )
