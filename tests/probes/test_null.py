"""p-values that a screening can be held to."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probes.null import (
    adjust,
    bulk_shift,
    conformal_p,
    deviation,
    group_shift,
    leave_one_out,
    matched_reference,
    smallest_n,
)

VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=30)
TABLES = st.tuples(st.integers(3, 14), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-5, 5).map(float))
)


@pytest.mark.parametrize("side", ["greater", "less", "two-sided"])
@settings(deadline=None)
@given(values=VALUES, alpha=st.floats(0, 1))
def test_conformal_p_values_are_super_uniform_whatever_the_ties(side: str, values: list[float], alpha: float) -> None:
    # Under exchangeability each value is equally likely the sample: the share with p ≤ alpha is the size of the test.
    p_values = [conformal_p(v, values[:i] + values[i + 1 :], side) for i, v in enumerate(values)]  # type: ignore[arg-type]
    assert sum(p <= alpha for p in p_values) <= alpha * len(values) + 1e-9
    assert all(0 < p <= 1 for p in p_values)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.floats(0, 1))
def test_the_largest_deviation_of_a_family_stays_super_uniform(rows: np.ndarray, alpha: float) -> None:
    def p_value(sample: int) -> float:
        bag = np.vstack([rows[sample], np.delete(rows, sample, axis=0)])
        odd = np.abs(leave_one_out(bag)).max(axis=1)
        return conformal_p(odd[0], odd[1:])

    assert sum(p_value(i) <= alpha for i in range(len(rows))) <= alpha * len(rows) + 1e-9


@settings(deadline=None)
@given(TABLES)
def test_leave_one_out_is_the_deviation_from_the_others(rows: np.ndarray) -> None:
    expected = [deviation(row, np.delete(rows, i, axis=0)) for i, row in enumerate(rows)]
    np.testing.assert_allclose(leave_one_out(rows), expected)


def test_deviation_counts_robust_sigmas_and_no_rounding() -> None:
    others = np.random.default_rng(0).normal(5.0, 2.0, (2001, 1))
    assert deviation(np.array([9.0]), others)[0] == pytest.approx(2.0, abs=0.15)
    constant = np.full((9, 1), 0.3)
    assert abs(deviation(np.array([0.3 + 1e-9]), constant)[0]) < 1e-6


def test_conformal_edges() -> None:
    assert conformal_p(5, [1, 2, 3]) == 0.25
    assert conformal_p(3, [1, 2, 3]) == 0.5
    assert conformal_p(0, [1, 2, 3], "less") == 0.25
    assert conformal_p(0, [1, 2, 3], "two-sided") == 0.5
    assert conformal_p(1.0, []) == 1.0
    assert conformal_p(math.nan, [1, 2, 3]) == 1.0


@pytest.mark.parametrize(("alpha", "tests"), [(0.05, 1), (0.05, 60), (0.01, 7), (0.1, 3)])
def test_smallest_n_is_where_a_lone_sample_first_becomes_significant(alpha: float, tests: int) -> None:
    def adjusted(references: int) -> float:
        return adjust([1 / (references + 1)] + [1.0] * (tests - 1))[0]

    needed = smallest_n(alpha, tests)
    assert adjusted(needed) <= alpha + 1e-12 < adjusted(needed - 1)


def test_adjusting_nothing_is_nothing() -> None:
    assert adjust([]) == []
    assert adjust([0.01, 0.04]) == pytest.approx([0.02, 0.04])


def test_matching_takes_the_nearest_in_standardised_covariates_or_all() -> None:
    reference = np.array([[3.0, -0.1], [3.0, -9.0], [30.0, -0.1], [4.0, -0.2], [3.0, -0.3]])
    assert matched_reference(np.array([3.0, -0.1]), reference, nearest=3, minimum=1).tolist() == [0, 3, 4]
    assert matched_reference(np.array([3.0, -0.1]), reference, nearest=2, minimum=4).size == 4
    assert matched_reference(np.array([3.0, -0.1]), reference, nearest=2, minimum=19).tolist() == [0, 1, 2, 3, 4]
    same = np.ones((6, 2))
    assert matched_reference(np.ones(2), same, nearest=2, minimum=1).tolist() == [0, 1]


def test_a_group_that_differs_in_one_feature_is_seen_there() -> None:
    source = np.random.default_rng(1)
    group, reference = source.normal(size=(8, 24)), source.normal(size=(60, 24))
    assert group_shift(group, reference).p_value > 0.05
    group[:, 17] -= 4
    shift = group_shift(group, reference)
    assert shift.p_value < 1e-4 and shift.feature == 17 and not shift.larger


def test_group_shift_keeps_its_size_and_bears_constants() -> None:
    source = np.random.default_rng(2)
    p_values = [group_shift(source.normal(size=(5, 6)), source.normal(size=(30, 6))).p_value for _ in range(200)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08
    assert group_shift(np.zeros((3, 2)), np.zeros((9, 2))).p_value == 1.0


def test_bulk_shift_sees_a_moved_domain_and_bears_a_planted_minority() -> None:
    source = np.random.default_rng(3)
    reference, clean = np.abs(source.normal(size=60)), np.abs(source.normal(size=60))
    planted = np.concatenate([clean[:36], np.full(24, 50.0)])
    assert bulk_shift(clean, reference) > 0.5
    assert bulk_shift(planted, reference) > 0.05
    assert bulk_shift(clean + 3, reference) < 1e-6
    assert bulk_shift([], reference) == 1.0
