"""Intervals and tests that stay honest at 0 of n and n of n."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.finding import Rate
from probes.seeding import derive_seed

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], Floats]
RESAMPLES = 1000


@dataclass(frozen=True)
class Measure:
    """A mean-like number, its interval, and the number of items it rests on; low <= value <= high when n > 0."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Paired:
    """The same items before and after: `better` turned true, `worse` turned false, `same` kept their answer.

    `p_value` is that of the exact two-sided McNemar test, 1.0 where nothing turned.
    """

    better: int
    worse: int
    same: int
    p_value: float


def clopper_pearson(rate: Rate, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a rate: covers at least `level`, never of zero width; (0, 1) without trials.

    Clopper and Pearson (1934), by scipy.
    """
    if rate.trials == 0:
        return 0.0, 1.0
    tail, misses = (1.0 - level) / 2, rate.trials - rate.hits
    beta = _scipy_stats().beta  # the quantiles themselves: binomtest searches for them, a hundred times slower
    low = float(beta.ppf(tail, rate.hits, misses + 1)) if rate.hits else 0.0
    high = float(beta.ppf(1.0 - tail, rate.hits + 1, misses)) if misses else 1.0
    return low, high


def wilson(rate: Rate, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a rate: covers about `level`, narrower than the exact one; (0, 1) without trials.

    Wilson (1927), by scipy.
    """
    if rate.trials == 0:
        return 0.0, 1.0
    interval = _scipy_stats().binomtest(rate.hits, rate.trials).proportion_ci(level, "wilson")
    return float(interval.low), float(interval.high)


def mcnemar_exact(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """The exact McNemar test on the same items; raises ValueError unless both have the same length."""
    pairs = [(bool(old), bool(new)) for old, new in zip(before, after, strict=True)]
    better, worse = pairs.count((False, True)), pairs.count((True, False))
    turned = better + worse
    p_value = float(_scipy_stats().binomtest(better, turned).pvalue) if turned else 1.0
    return Paired(better, worse, len(pairs) - turned, p_value)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the order given, that bound the chance of any false alarm. Holm (1979), step down."""
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return tuple(adjusted.tolist())


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the order given, that bound the share of false alarms. Benjamini and Hochberg (1995)."""
    p = _checked(p_values)
    return tuple(_scipy_stats().false_discovery_control(p, method="bh").tolist()) if len(p) else ()


def mean(totals: Floats, counts: Floats) -> Floats:
    """The mean of an item, from sums (resamples, 1) over items and their numbers (resamples,)."""
    result: Floats = totals[:, 0] / counts
    return result


def cluster_bootstrap(
    values: Sequence[float] | Floats,
    clusters: Sequence[Hashable],
    seed: int,
    statistic: Statistic = mean,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Measure:
    """A statistic with a percentile interval that draws whole clusters (pictures), whatever the order of the items.

    `values` is (items,) or (items, k); `statistic` maps sums over the drawn items (resamples, k) and their numbers
    (resamples,) to (resamples,). `bounds` is the range of the statistic. Where every resample agrees the bootstrap is
    blind, not certain: with m clusters alike, an unseen share of up to 1 - (alpha / 2)^(1 / m) of them may still
    lie anywhere within the bounds (Clopper and Pearson at 0 of m), and the interval says so. Without items the value is
    NaN and the interval the bounds.
    """
    if not len(clusters):
        return Measure(float("nan"), *bounds, 0)
    table = np.asarray(values, dtype=np.float64).reshape(len(clusters), -1)  # (items, k)
    totals, counts = _cluster_sums(table, clusters)
    value = float(statistic(totals.sum(axis=0, keepdims=True), counts.sum(keepdims=True))[0])
    drawn = _draws(len(counts), resamples, seed)  # (resamples, clusters)
    replicates = statistic(drawn @ totals, drawn @ counts)
    tail = (1.0 - level) / 2
    low, high = (float(edge) for edge in np.quantile(replicates, (tail, 1.0 - tail)))
    if np.isclose(low, high, rtol=1e-9, atol=1e-12):
        unseen = 1.0 - tail ** (1.0 / len(counts))
        low, high = value - unseen * (value - bounds[0]), value + unseen * (bounds[1] - value)
    return Measure(value, min(low, value), max(high, value), len(table))


def _draws(clusters: int, resamples: int, seed: int) -> Floats:
    """How often each resample holds each cluster: (resamples, clusters)."""
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    return random.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=resamples).astype(np.float64)


def _cluster_sums(table: Floats, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sums (clusters, k) and sizes (clusters,), in an order that no order of the items can change."""
    groups: dict[Hashable, list[int]] = {}
    for index, name in enumerate(clusters):
        groups.setdefault(name, []).append(index)
    # Names of any type sort by what they hold; sums of floats depend on the order, so items are sorted as well.
    rows = [table[indices][np.lexsort(table[indices].T)] for indices in groups.values()]
    keyed = sorted(((repr(name), row) for name, row in zip(groups, rows, strict=True)), key=lambda pair: pair[0])
    totals = np.stack([row.sum(axis=0) for _, row in keyed])
    return totals, np.array([len(row) for _, row in keyed], dtype=np.float64)


def _scipy_stats() -> Any:
    # Imported where it is used: it takes a second, and most who import this module want none of it.
    from scipy import stats

    return stats


def _checked(p_values: Sequence[float]) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p-values lie in [0, 1], got {p.tolist()}")
    return p
