"""What a statistic would be if nothing were planted: conformal p-values, matching, and what they cannot say.

With n reference samples no conformal p-value is below 1 / (n + 1). After Benjamini–Hochberg over m tests a lone finding
therefore needs n ≥ m / α − 1 references (`smallest_n`); with fewer, only answer groups can become significant.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Side = Literal["greater", "less", "two-sided"]

# Turns the median absolute deviation of a normal variable into its standard deviation.
_MAD_TO_SIGMA = 1.4826


def conformal_p(value: float, reference: Sequence[float] | Array, side: Side = "greater") -> float:
    """(1 + #{reference at least as extreme}) / (n + 1), in (0, 1]; ties and NaN count against a finding.

    Super-uniform when value and reference are exchangeable (Vovk et al. 2005); two-sided = min(1, 2 · min(both)).
    """
    if side == "two-sided":
        return min(1.0, 2 * min(conformal_p(value, reference, "greater"), conformal_p(value, reference, "less")))
    drawn = np.asarray(reference, dtype=np.float64)
    milder = drawn < value if side == "greater" else drawn > value
    return float(1 + np.count_nonzero(~milder)) / (drawn.size + 1)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Benjamini–Hochberg adjusted p-values, in the order given.

    Valid for conformal p-values that share references, which are positively dependent (Bates et al. 2023, Theorem 2).
    """
    return [float(p) for p in stats.false_discovery_control(p_values)] if p_values else []


def smallest_n(alpha: float, tests: int = 1) -> int:
    """The fewest references with which one planted sample among `tests` can reach p_adjusted ≤ alpha."""
    return max(1, math.ceil(tests / alpha - 1e-9) - 1)


def matched_reference(value: Array, reference: Array, nearest: int, minimum: int) -> NDArray[np.intp]:
    """Indices of the `nearest` references to `value` (c,) in standardised covariates (n, c); at least `minimum`."""
    count = max(nearest, minimum)
    if count >= len(reference):
        return np.arange(len(reference))
    scale = reference.std(axis=0)
    scale[scale == 0] = 1.0
    distance = np.linalg.norm((reference - value) / scale, axis=1)
    return np.sort(np.argsort(distance, kind="stable")[:count])


def leave_one_out(rows: Array, floor: float = 0.05) -> Array:
    """Each row of (n, d) as robust deviations (n, d) from the other rows: (x − median) / (1.4826 · MAD).

    Every row is treated alike, so functions of exchangeable rows stay exchangeable: a max over d is then corrected for
    by its conformal p-value. `floor` is the least scale, in the unit of `rows`, that counts as spread.
    """
    count = len(rows)
    kept = np.arange(count) != np.arange(count)[:, None]
    others = np.broadcast_to(rows, (count, *rows.shape))[kept].reshape(count, count - 1, -1)  # (n, n − 1, d)
    return _deviation(rows, others, floor)


def deviation(row: Array, others: Array, floor: float = 0.05) -> Array:
    """One row (d,) as robust deviations (d,) from `others` (n, d), as in `leave_one_out`."""
    only: Array = _deviation(row[None], others[None], floor)[0]
    return only


def _deviation(rows: Array, others: Array, floor: float) -> Array:
    centre = np.median(others, axis=1)  # (n, d)
    spread = np.median(np.abs(others - centre[:, None]), axis=1)
    deviations: Array = (rows - centre) / np.maximum(_MAD_TO_SIGMA * spread, floor)
    return deviations


@dataclass(frozen=True)
class GroupShift:
    """How a group differs from the references: `p_value`, in which feature most, and whether it is larger there."""

    p_value: float
    feature: int
    larger: bool


def group_shift(group: Array, reference: Array) -> GroupShift:
    """Mann–Whitney of a group (g, d) against references (n, d) in every feature, Bonferroni over the d features.

    Two-sided. Combining the p-values of the members (Fisher, Stouffer) would be invalid: they share references.
    """
    tests = stats.mannwhitneyu(group, reference, alternative="two-sided", axis=0)
    p_values = np.nan_to_num(np.asarray(tests.pvalue, dtype=np.float64), nan=1.0)
    feature = int(p_values.argmin())
    larger = bool(np.median(group[:, feature]) >= np.median(reference[:, feature]))
    return GroupShift(min(1.0, float(p_values[feature]) * len(p_values)), feature, larger)


def bulk_shift(suspect: Sequence[float] | Array, reference: Sequence[float] | Array) -> float:
    """p-value against "at least half of the suspects are like the references", from statistics where larger is odder.

    The odder half is set aside as possibly planted; a milder half still odder than all references (Mann–Whitney) says
    that the median suspect moved: another domain, not a finding. Super-uniform for any planted share up to one half.
    """
    drawn, null = np.sort(np.asarray(suspect, dtype=np.float64)), np.asarray(reference, dtype=np.float64)
    if not drawn.size or not null.size:
        return 1.0
    mild = drawn[: math.ceil(drawn.size / 2)]
    p_value = float(stats.mannwhitneyu(mild, null, alternative="greater").pvalue)
    return 1.0 if math.isnan(p_value) else p_value
