"""Intervals against scipy and against what an interval promises."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.evaluation.intervals import (
    benjamini_hochberg,
    clopper_pearson,
    cluster_bootstrap,
    holm,
    mcnemar_exact,
    wilson,
)
from probes.finding import Rate

RATES = st.integers(1, 600).flatmap(lambda n: st.builds(Rate, st.integers(0, n), st.just(n)))
P_VALUES = st.lists(st.floats(0, 1), max_size=12)


@given(RATES)
@settings(max_examples=30, deadline=None)
def test_exact_interval_is_that_of_scipys_binomial_test(rate: Rate) -> None:
    theirs = stats.binomtest(rate.hits, rate.trials).proportion_ci(0.95, "exact")
    assert clopper_pearson(rate) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(RATES)
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_rate_and_never_vanish(rate: Rate) -> None:
    for low, high in (clopper_pearson(rate), wilson(rate)):
        assert 0 <= low < high <= 1
        assert low - 1e-12 <= rate.value <= high + 1e-12


def test_nothing_in_512_still_allows_seven_in_a_thousand() -> None:
    assert clopper_pearson(Rate(0, 512)) == pytest.approx((0.0, 0.00718), abs=1e-5)
    assert wilson(Rate(0, 10))[1] == pytest.approx(0.2775, abs=1e-4)


def test_no_trials_know_nothing() -> None:
    assert clopper_pearson(Rate(0, 0)) == wilson(Rate(0, 0)) == (0.0, 1.0)


def test_exact_interval_covers_at_least_its_level() -> None:
    trials, truth = 40, 0.07
    weights = stats.binom.pmf(np.arange(trials + 1), trials, truth)
    inside = [low <= truth <= high for low, high in (clopper_pearson(Rate(k, trials)) for k in range(trials + 1))]
    assert float(weights @ np.array(inside)) >= 0.95


def test_mcnemar_counts_who_turned() -> None:
    before = [False] * 9 + [True] * 3 + [True, False]
    after = [True] * 9 + [False] * 3 + [True, False]
    paired = mcnemar_exact(before, after)
    assert (paired.better, paired.worse, paired.same) == (9, 3, 2)
    assert paired.p_value == pytest.approx(min(1.0, 2 * stats.binom.sf(8, 12, 0.5)))


def test_mcnemar_without_change_is_no_evidence() -> None:
    assert mcnemar_exact([True, False], [True, False]).p_value == 1.0
    assert mcnemar_exact([], []).p_value == 1.0


def test_mcnemar_refuses_other_items() -> None:
    with pytest.raises(ValueError, match="zip"):
        mcnemar_exact([True], [True, False])


def test_corrections_give_the_values_of_r() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") and "BH" in R 4.3.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.02, 0.04, 0.04, 0.02))


@given(P_VALUES)
@settings(max_examples=80, deadline=None)
def test_corrections_never_help_and_are_ordered(p_values: list[float]) -> None:
    strict, loose = holm(p_values), benjamini_hochberg(p_values)
    assert len(strict) == len(loose) == len(p_values)
    for raw, bh, fwer in zip(p_values, loose, strict, strict=True):
        assert raw <= bh + 1e-12 <= fwer + 2e-12 <= 1 + 3e-12


@given(P_VALUES.flatmap(lambda p: st.tuples(st.just(p), st.permutations(range(len(p))))))
@settings(max_examples=60, deadline=None)
def test_corrections_follow_the_order_given(case: tuple[list[float], list[int]]) -> None:
    p_values, order = case
    assert holm([p_values[i] for i in order]) == pytest.approx([holm(p_values)[i] for i in order])


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_corrections_refuse_what_is_no_p_value(bad: float) -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, bad])
    with pytest.raises(ValueError, match="p-values"):
        benjamini_hochberg([0.5, bad])


@pytest.mark.parametrize(("hits", "value"), [(0, 0.0), (50, 1.0)])
def test_a_bootstrap_that_sees_no_change_is_as_wide_as_the_exact_interval(hits: int, value: float) -> None:
    measure = cluster_bootstrap([value] * 50, range(50), seed=1)
    assert (measure.low, measure.high) == pytest.approx(clopper_pearson(Rate(hits, 50)), abs=1e-6)
    assert measure.value == value and measure.n == 50


def test_one_picture_says_little_however_many_questions_it_has() -> None:
    measure = cluster_bootstrap([0.2, 0.4, 0.9] * 30, ["only"] * 90, seed=1)
    assert measure.value == pytest.approx(0.5)
    assert measure.low < 0.02 and measure.high > 0.98


def test_no_items_give_the_whole_range() -> None:
    measure = cluster_bootstrap([], [], seed=1, bounds=(0.0, 10.0))
    assert math.isnan(measure.value)
    assert (measure.low, measure.high, measure.n) == (0.0, 10.0, 0)


ITEMS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=25)


@given(ITEMS.flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_bootstrap_ignores_the_order_and_holds_the_value(
    case: tuple[list[tuple[float, int]], list[tuple[float, int]]], seed: int
) -> None:
    first, second = (
        cluster_bootstrap([value for value, _ in items], [name for _, name in items], seed, resamples=50)
        for items in case
    )
    assert first == second
    assert -1e-9 <= first.low <= first.value <= first.high <= 1 + 1e-9
    assert first.low < first.high


def test_bootstrap_depends_on_its_seed_and_on_nothing_ambient() -> None:
    values = np.random.default_rng(0).random(40)
    np.random.seed(1)
    first = cluster_bootstrap(values, range(40), seed=7)
    np.random.seed(2)
    assert cluster_bootstrap(values, range(40), seed=7) == first
    assert cluster_bootstrap(values, range(40), seed=8) != first


def test_bootstrap_over_single_items_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).random(80)
    ours = cluster_bootstrap(values, range(80), seed=5, resamples=4000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_bootstrap_covers_where_items_of_a_picture_hang_together() -> None:
    random = np.random.default_rng(11)
    covered, naive = 0, 0
    for trial in range(100):
        pictures = np.repeat(random.normal(0.5, 0.1, 50), 5)
        values, clusters = pictures + random.normal(0, 0.02, 250), np.repeat(np.arange(50), 5).tolist()
        by_picture = cluster_bootstrap(values, clusters, seed=trial, resamples=300)
        by_item = cluster_bootstrap(values, range(250), seed=trial, resamples=300)
        covered += by_picture.low <= 0.5 <= by_picture.high
        naive += by_item.low <= 0.5 <= by_item.high
    assert covered >= 86  # at a true coverage of 0.94, below it by chance about once in five hundred
    assert naive < 77, "without clusters the interval must be too narrow, or this test shows nothing"


@given(st.integers(1, 60), st.floats(0.001, 0.999), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
@settings(max_examples=25, deadline=None)
def test_exact_interval_covers_whatever_is_true(trials: int, truth: float, level: float) -> None:
    weights = stats.binom.pmf(np.arange(trials + 1), trials, truth)
    inside = [
        low <= truth <= high for low, high in (clopper_pearson(Rate(k, trials), level) for k in range(trials + 1))
    ]
    assert float(weights @ np.array(inside)) >= level - 1e-9


def test_score_interval_covers_about_its_level_on_average() -> None:
    trials, truths = 50, np.linspace(0.02, 0.98, 97)
    edges = np.array([wilson(Rate(k, trials)) for k in range(trials + 1)])
    weights = stats.binom.pmf(np.arange(trials + 1)[:, None], trials, truths)
    inside = (edges[:, :1] <= truths) & (truths <= edges[:, 1:])
    assert float((weights * inside).sum(axis=0).mean()) == pytest.approx(0.95, abs=0.01)


@given(st.integers(1, 300), st.sampled_from([clopper_pearson, wilson]))
@settings(max_examples=30, deadline=None)
def test_nothing_and_everything_touch_the_ends_and_nothing_else_does(
    trials: int, interval: Callable[[Rate], tuple[float, float]]
) -> None:
    nothing, everything = interval(Rate(0, trials)), interval(Rate(trials, trials))
    assert nothing[0] == pytest.approx(0, abs=1e-12) and everything[1] == pytest.approx(1, abs=1e-12)
    assert 0 < nothing[1] < 1 and 0 < everything[0] < 1
    assert everything == pytest.approx((1 - nothing[1], 1 - nothing[0]), abs=1e-9)


@given(RATES, st.sampled_from([clopper_pearson, wilson]))
@settings(max_examples=60, deadline=None)
def test_more_hits_move_both_ends_up_and_more_certainty_widens(
    rate: Rate, interval: Callable[..., tuple[float, float]]
) -> None:
    low, high = interval(rate)
    if rate.hits < rate.trials:
        more = interval(Rate(rate.hits + 1, rate.trials))
        assert more[0] >= low - 1e-12 and more[1] >= high - 1e-12
    wider = interval(rate, 0.99)
    assert wider[0] <= low + 1e-12 and wider[1] >= high - 1e-12
    doubled = interval(Rate(2 * rate.hits, 2 * rate.trials))
    assert doubled[1] - doubled[0] < high - low


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40).flatmap(
        lambda pairs: st.tuples(st.just(pairs), st.permutations(pairs))
    )
)
@settings(max_examples=40, deadline=None)
def test_mcnemar_ignores_the_order_and_turns_round(
    case: tuple[list[tuple[bool, bool]], list[tuple[bool, bool]]],
) -> None:
    first, second = (mcnemar_exact([a for a, _ in side], [b for _, b in side]) for side in case)
    assert first == second
    assert 0 < first.p_value <= 1
    turned = mcnemar_exact([b for _, b in case[0]], [a for a, _ in case[0]])
    assert (turned.better, turned.worse, turned.p_value) == (first.worse, first.better, first.p_value)


def test_mcnemar_is_valid_where_nothing_changed() -> None:
    turned = np.arange(0, 21)
    weights = stats.binom.pmf(turned, 20, 0.5)
    p_values = [mcnemar_exact([False] * k + [True] * (20 - k), [True] * k + [False] * (20 - k)).p_value for k in turned]
    for level in (0.01, 0.05, 0.2):
        assert float(weights @ (np.array(p_values) <= level)) <= level
