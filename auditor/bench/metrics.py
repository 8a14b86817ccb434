"""How well scores tell planted models from negatives: pure statistics over models, each with its interval.

Scores are larger for more suspicious models. Nothing here is fitted on what it is measured on: thresholds and
calibrations are objects that development models make and test models meet.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from auditor.evaluation.intervals import Measure, clopper_pearson
from probes.finding import Rate
from probes.null import conformal_p

Floats = NDArray[np.float64]
LEAST_NEGATIVES = 19
"""Below this no conformal p-value reaches 0.05."""
LEAST_FOR_ONE_PERCENT = 100
CLIP = 1e-12
"""Probabilities stay this far from 0 and 1, as in the TrojAI evaluation."""


def roc_auc(planted: Sequence[float], negatives: Sequence[float], level: float = 0.95) -> Measure | None:
    """The area under the ROC curve, ties counted half, with an interval over models; None where a side is empty.

    DeLong et al. (1988) on the logit scale; where its variance is zero (a perfect separation, or fewer than two models
    on a side) the score interval of Newcombe (2006, method 5), which is never of zero width.
    """
    x, y = np.asarray(planted, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    if not x.size or not y.size:
        return None
    area, variance = delong(x, y)
    z = float(stats.norm.ppf(0.5 + level / 2))
    if variance <= 0 or not 0 < area < 1:
        low, high = newcombe(area, x.size, y.size, z)
    else:
        centre, spread = math.log(area / (1 - area)), math.sqrt(variance) / (area * (1 - area))
        low, high = (1 / (1 + math.exp(-(centre + sign * z * spread))) for sign in (-1, 1))
    return Measure(area, low, high, x.size + y.size)


def delong(planted: Floats, negatives: Floats) -> tuple[float, float]:
    """Area and its variance, from the midranks of both samples; variance 0 with fewer than two models on a side."""
    m, n = planted.size, negatives.size
    wins = (planted[:, None] > negatives[None]) + 0.5 * (planted[:, None] == negatives[None])  # (m, n)
    area = float(wins.mean())
    if m < 2 or n < 2:
        return area, 0.0
    return area, float(wins.mean(axis=1).var(ddof=1) / m + wins.mean(axis=0).var(ddof=1) / n)


def newcombe(area: float, m: int, n: int, z: float) -> tuple[float, float]:
    """The areas θ with (area − θ)² ≤ z² V(θ), V by Hanley and McNeil with (m + n) / 2 − 1 on either side."""
    star = (m + n) / 2 - 1

    def excess(theta: float) -> float:
        variance = theta * (1 - theta) * (1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n)
        return (area - theta) ** 2 - z * z * variance

    tiny = 1e-12
    low = 0.0 if area <= 0 or excess(tiny) <= 0 else float(optimize.brentq(excess, tiny, max(area - 1e-9, 2 * tiny)))
    high = 1.0
    if area < 1 and excess(1 - tiny) > 0:
        high = float(optimize.brentq(excess, min(area + 1e-9, 1 - 2 * tiny), 1 - tiny))
    return low, high


def roc_points(planted: Sequence[float], negatives: Sequence[float]) -> list[tuple[float, float]]:
    """(false-positive rate, true-positive rate) from (0, 0) to (1, 1), one point a distinct score."""
    x, y = np.asarray(planted, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    cuts = np.unique(np.concatenate([x, y]))[::-1]
    return [(0.0, 0.0), *((float((y >= cut).mean()), float((x >= cut).mean())) for cut in cuts)]


def threshold_at(negatives: Sequence[float], most: float) -> float:
    """The smallest threshold that at most a share `most` of the negatives exceed; a model above it is an alarm.

    With fewer than 1 / `most` negatives that is their maximum; infinite without negatives.
    """
    ordered = sorted(negatives, reverse=True)
    allowed = math.floor(most * len(ordered) + 1e-9)
    return ordered[allowed] if allowed < len(ordered) else (-math.inf if ordered else math.inf)


def alarms(scores: Sequence[float], threshold: float) -> Rate:
    return Rate(sum(score > threshold for score in scores), len(scores))


def tpr_at_fpr(planted: Sequence[float], negatives: Sequence[float], most: float) -> Rate | None:
    """The detections at the threshold that the same negatives give: a description of the curve, no frozen threshold.

    None where a side is empty, and at 1 % with fewer than 100 negatives.
    """
    if not planted or not negatives or (most < 0.05 and len(negatives) < LEAST_FOR_ONE_PERCENT):
        return None
    return alarms(planted, threshold_at(negatives, most))


@dataclass(frozen=True)
class Calibration:
    """p(planted | score) = 1 / (1 + exp(−(slope · score + offset))), by Platt (1999)."""

    slope: float
    offset: float

    def probabilities(self, scores: Sequence[float]) -> Floats:
        logits = self.slope * np.asarray(scores, dtype=np.float64) + self.offset
        return 1 / (1 + np.exp(-np.clip(logits, -700, 700)))


def fit_platt(planted: Sequence[float], negatives: Sequence[float]) -> Calibration | None:
    """Logistic regression on one score, with Platt's targets, which keep it finite where development models separate.

    None where a side is empty: nothing can be calibrated then.
    """
    m, n = len(planted), len(negatives)
    if not m or not n:
        return None
    scores = np.concatenate([planted, negatives]).astype(np.float64)
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - centre) / scale
    targets = np.concatenate([np.full(m, (m + 1) / (m + 2)), np.full(n, 1 / (n + 2))])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = parameters[0] * x + parameters[1]
        value = float((np.logaddexp(0, logits) - targets * logits).sum())
        residual = 1 / (1 + np.exp(-np.clip(logits, -700, 700))) - targets
        return value, np.array([(residual * x).sum(), residual.sum()])

    found = optimize.minimize(loss, np.array([0.0, math.log((m + 1) / (n + 1))]), jac=True, method="L-BFGS-B")
    slope = float(found.x[0]) / scale
    return Calibration(slope, float(found.x[1]) - slope * centre)


def cross_entropy(probabilities: Floats, planted: NDArray[np.bool_]) -> Measure | None:
    """Mean of −log p(truth) over models, with the TrojAI interval: the mean ± 1.96 standard errors."""
    p = np.clip(probabilities, CLIP, 1 - CLIP)
    return _mean(-np.where(planted, np.log(p), np.log1p(-p)))


def brier(probabilities: Floats, planted: NDArray[np.bool_]) -> Measure | None:
    """Mean squared difference of probability and truth over models, with a normal interval."""
    return _mean((probabilities - planted) ** 2)


def _mean(values: Floats) -> Measure | None:
    """None without models; an unknown error (0 to infinity) with one."""
    if not values.size:
        return None
    centre = float(values.mean())
    if values.size == 1:
        return Measure(centre, 0.0, math.inf, 1)
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Measure(centre, max(0.0, centre - half), centre + half, int(values.size))


@dataclass(frozen=True)
class Uniformity:
    """How often test negatives get a conformal p-value at most `level`: valid where `low` does not exceed it."""

    level: float
    rate: Rate
    low: float
    high: float


def conformal_p_values(scores: Sequence[float], negatives: Sequence[float]) -> list[float] | None:
    """(1 + #{development negatives at least as extreme}) / (n + 1); None with fewer than 19: they calibrate nothing."""
    if len(negatives) < LEAST_NEGATIVES:
        return None
    return [conformal_p(score, negatives) for score in scores]


def uniformity(p_values: Sequence[float], levels: Sequence[float] = (0.01, 0.05, 0.1)) -> list[Uniformity]:
    """Rejection rates of negatives with their exact intervals."""
    found = []
    for level in levels:
        rate = Rate(sum(p <= level for p in p_values), len(p_values))
        found.append(Uniformity(level, rate, *clopper_pearson(rate)))
    return found
