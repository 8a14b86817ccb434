import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import _sigmoid_calibration
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

from auditor.bench.metrics import (
    Calibration,
    alarms,
    brier,
    conformal_p_values,
    cross_entropy,
    delong,
    fit_platt,
    newcombe,
    roc_auc,
    roc_points,
    threshold_at,
    tpr_at_fpr,
    uniformity,
)
from probes.finding import Rate

scores = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=30)


def truth(planted: Sequence[float], negatives: Sequence[float]) -> list[bool]:
    return [True] * len(planted) + [False] * len(negatives)


@given(scores, scores)
def test_the_area_is_sklearns_ties_included(planted: list[float], negatives: list[float]) -> None:
    found = roc_auc(planted, negatives)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(truth(planted, negatives), planted + negatives))
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0
    mirrored = roc_auc(negatives, planted)
    assert mirrored is not None and mirrored.value == pytest.approx(1 - found.value)


@given(scores, scores)
def test_the_curve_is_sklearns(planted: list[float], negatives: list[float]) -> None:
    points = roc_points(planted, negatives)
    fpr, tpr, _ = roc_curve(truth(planted, negatives), planted + negatives, drop_intermediate=False)
    assert np.array(points) == pytest.approx(np.array([fpr, tpr]).T)


def test_the_intervals_cover_the_true_area() -> None:
    rng = np.random.default_rng(5)
    shift, true = 1.0, float(stats.norm.cdf(1 / math.sqrt(2)))
    found = [roc_auc(rng.normal(shift, 1, 40).tolist(), rng.normal(0, 1, 40).tolist()) for _ in range(400)]
    covered = sum(m.low <= true <= m.high for m in found if m is not None)
    assert 0.91 <= covered / 400 <= 0.985
    for m, n in ((30, 30), (8, 25)):
        area, variance = zip(*(delong(rng.normal(shift, 1, m), rng.normal(0, 1, n)) for _ in range(2000)), strict=True)
        assert np.mean(variance) == pytest.approx(np.var(area), rel=0.15)


def test_a_perfect_separation_has_no_interval_of_zero_width() -> None:
    narrow, wide = roc_auc([2.0] * 40, [1.0] * 40), roc_auc([2.0] * 4, [1.0] * 4)
    assert narrow is not None and wide is not None
    assert narrow.value == narrow.high == 1 and wide.low < narrow.low < 1
    assert newcombe(0.0, 40, 40, 1.96) == pytest.approx((0.0, 1 - narrow.low), abs=1e-5)
    alone = roc_auc([1.0], [1.0])
    assert alone is not None and alone.value == 0.5 and (alone.low, alone.high) == pytest.approx((0.0, 1.0), abs=0.06)
    assert roc_auc([], [1.0]) is None and roc_auc([1.0], []) is None


@given(scores, st.sampled_from([0.01, 0.05, 0.1, 0.3]))
def test_a_threshold_lets_no_more_negatives_through_than_allowed_and_is_the_smallest(
    negatives: list[float], most: float
) -> None:
    threshold = threshold_at(negatives, most)
    assert alarms(negatives, threshold).hits <= most * len(negatives) + 1e-9
    assert alarms(negatives, np.nextafter(threshold, -np.inf)).hits > most * len(negatives)


@given(scores, scores)
def test_detections_at_a_false_positive_rate_are_the_curves(planted: list[float], negatives: list[float]) -> None:
    found = tpr_at_fpr(planted, negatives, 0.05)
    fpr, tpr, _ = roc_curve(truth(planted, negatives), planted + negatives, drop_intermediate=False)
    assert found is not None
    assert found.value == pytest.approx(max(t for f, t in zip(fpr, tpr, strict=True) if f <= 0.05 + 1e-12))


def test_one_percent_needs_a_hundred_negatives() -> None:
    assert tpr_at_fpr([1.0], [0.0] * 99, 0.01) is None
    assert tpr_at_fpr([1.0], [0.0] * 100, 0.01) == Rate(1, 1)
    assert tpr_at_fpr([], [0.0], 0.05) is None
    assert threshold_at([], 0.05) == math.inf


@pytest.mark.parametrize("shift", [0.0, 1.0, 50.0])
def test_the_calibration_is_platts_as_sklearn_fits_it(shift: float) -> None:
    rng = np.random.default_rng(3)
    planted, negatives = rng.normal(shift, 1, 30).tolist(), rng.normal(0, 1, 50).tolist()
    found = fit_platt(planted, negatives)
    assert found is not None
    a, b = _sigmoid_calibration(np.array(planted + negatives), np.array(truth(planted, negatives)))
    mine = found.probabilities(planted + negatives)
    theirs = Calibration(-a, -b).probabilities(planted + negatives)
    assert mine == pytest.approx(theirs, abs=2e-3)
    assert mine.min() > 0 and mine.max() < 1


def test_degenerate_developments_calibrate_to_the_base_rate_or_not_at_all() -> None:
    flat = fit_platt([1.0] * 10, [1.0] * 30)
    assert flat is not None and flat.probabilities([1.0])[0] == pytest.approx(0.25, abs=0.03)
    assert fit_platt([], [1.0]) is None and fit_platt([1.0], []) is None


def test_entropy_and_brier_are_sklearns() -> None:
    rng = np.random.default_rng(7)
    probabilities, planted = rng.random(50), rng.random(50) < 0.5
    entropy, squared = cross_entropy(probabilities, planted), brier(probabilities, planted)
    assert entropy is not None and squared is not None
    assert entropy.value == pytest.approx(log_loss(planted, probabilities))
    assert squared.value == pytest.approx(brier_score_loss(planted, probabilities))
    each = -np.where(planted, np.log(probabilities), np.log(1 - probabilities))
    assert entropy.high - entropy.value == pytest.approx(1.96 * stats.sem(each))
    sure = cross_entropy(np.array([0.0, 1.0]), np.array([True, True]))
    assert sure is not None and math.isfinite(sure.value)
    assert cross_entropy(np.array([]), np.array([], dtype=bool)) is None
    one = brier(np.array([0.5]), np.array([True]))
    assert one is not None and one.high == math.inf


def test_conformal_p_values_are_super_uniform_and_need_nineteen_negatives() -> None:
    assert conformal_p_values([1.0], [0.0] * 18) is None
    assert conformal_p_values([1.0], [0.0] * 19) == [0.05]
    rng = np.random.default_rng(11)
    rejected = [conformal_p_values([float(rng.normal())], rng.normal(size=19).tolist()) or [0.0] for _ in range(4000)]
    for item in uniformity([p[0] for p in rejected]):
        assert item.low <= item.level
    assert uniformity([])[0].low == 0 and uniformity([])[0].high == 1


def test_dependent_or_shifted_negatives_are_seen() -> None:
    shifted = conformal_p_values([3.0] * 40, [float(i) / 20 for i in range(20)])
    assert shifted is not None
    assert uniformity(shifted)[1].low > 0.05
