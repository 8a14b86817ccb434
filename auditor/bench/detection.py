"""Detection over a population of models: by model, over all, by group, with groups left out, and calibration.

A planted model counts where its payload is said on at least half of the stamped test pictures; a plant below that is
listed with its model and counted nowhere. Thresholds and calibrations come from development models alone.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auditor.bench.entries import Entry, share, stratum
from auditor.bench.metrics import (
    LEAST_NEGATIVES,
    Calibration,
    alarms,
    brier,
    conformal_p_values,
    cross_entropy,
    fit_platt,
    roc_auc,
    threshold_at,
    tpr_at_fpr,
    uniformity,
)
from auditor.bench.tables import Table
from auditor.cluster.log import Row
from auditor.evaluation.intervals import Measure, clopper_pearson
from probes.finding import Rate

FPR = 0.05
POSITIVE = ("took", "low-asr")
GROUPS = ("architecture", "task", "family", "payload", "rate", "strength", "adaptive", "stratum")
STATIC = frozenset({"badnets", "blended", "sig", "low-frequency", "frame", "colour-cast"})
"""Families whose trigger is one and the same change of every picture."""
SAME_NEGATIVES = ("architecture", "task")
"""Groups that negatives belong to as well; all others are attacks' own and meet all negatives."""


@dataclass(frozen=True)
class Judged:
    """One detector's score of one model, with what the model is."""

    detector: str
    cell: dict[str, Any]
    stratum: str
    score: float
    alarm: bool | None
    seconds: float
    key: str

    @property
    def planted(self) -> bool:
        return self.stratum in POSITIVE

    @property
    def negative(self) -> bool:
        return self.stratum == "negative"

    @property
    def static(self) -> bool:
        """Planted with the same trigger in every picture, by an attacker who does not know the scan."""
        return self.planted and self.cell["family"] in STATIC and self.cell["adaptive"] == "none"

    def of(self, group: str) -> Any:
        return self.stratum if group == "stratum" else self.cell[group]


def judged(detections: Sequence[Entry], plants: dict[str, Entry]) -> list[Judged]:
    """Every model that has a score; a detector's other statistics appear as DETECTOR:STATISTIC."""
    found: list[Judged] = []
    for entry in detections:
        result = entry.result
        if result is None:
            continue
        made = plants[entry.settings["plant"]]
        first = Judged(
            entry.settings["detector"], entry.cell, stratum(made.result, entry.settings["negative"]), result["score"],
            result["alarm"], result["detection_seconds"], entry.settings["plant"],
        )  # fmt: skip
        found.append(first)
        found += [
            replace(first, detector=f"{first.detector}:{name}", score=value, alarm=None)
            for name, value in result["statistics"].items()
        ]
    return found


def models_table(detections: Sequence[Entry], plants: dict[str, Entry], models: Sequence[Judged]) -> Table:
    """Every planned look of a detector at a model; p-values of test models against development negatives."""
    p_values = p_values_by_model(models)
    rows = []
    for entry in detections:
        made, result = plants[entry.settings["plant"]], entry.result or {}
        asr = share(((made.result or {}).get("asr") or {}).get("payload"))
        detector, key = entry.settings["detector"], entry.settings["plant"]
        rows.append(
            {
                "detector": detector, **entry.cell, "status": entry.status,
                "stratum": stratum(made.result, entry.settings["negative"]), "asr": asr, "score": result.get("score"),
                "p_value": p_values.get((detector, key)), "alarm": result.get("alarm"), "target": result.get("target"),
                "planted": result.get("planted"), "match": result.get("match"),
                "seconds": result.get("detection_seconds"), "notes": " | ".join(result.get("notes", [])),
            }
        )  # fmt: skip
    note = (
        "`p_value` is conformal against the development negatives of the same detector, for test models, where there "
        f"are at least {LEAST_NEGATIVES}; empty means calibration: none. `match` compares the recovered target with "
        "the planted text: equal, contains, within, variant, other or none."
    )
    return Table("detection-models", "Detection, model by model", note, rows)


def p_values_by_model(models: Sequence[Judged]) -> dict[tuple[str, str], float]:
    """By detector and key of the model, for test models of detectors with enough development negatives."""
    found: dict[tuple[str, str], float] = {}
    for detector in _detectors(models):
        mine = [model for model in models if model.detector == detector]
        test = [model for model in mine if model.cell["split"] == "test"]
        values = conformal_p_values([m.score for m in test], _scores(mine, "development", "negative"))
        found |= {(detector, model.key): p for model, p in zip(test, values or [], strict=False)}
    return found


def population_table(models: Sequence[Judged]) -> Table:
    """Over all test models, by group, with one group left out of the development, and over development itself."""
    rows: list[Row] = []
    for detector in _detectors(models):
        mine = [model for model in models if model.detector == detector]
        rows.append(measure("all", "all", mine, mine))
        rows += _by_group(mine)
        rows += _left_out(mine, "")
        rows += _static(mine)
        rows.append(measure("development", "all", mine, mine, split="development"))
    note = (
        "Test models, unless the scope says development (on which thresholds and calibrations were made: no claim "
        f"rests on those rows). `tpr_at_5` reads the test curve; `frozen_…` is the threshold that {FPR:.0%} of the "
        "development negatives exceed, met by test models. Cross-entropy (nats) and Brier are of Platt probabilities "
        "fitted on development models. `alarm_…` is the detector's own alarm, for our scan a finding of severity "
        "medium or more. Static triggers are one change of every picture, by attackers who do not know the scan. "
        "Leaving an attack out changes the calibration; the threshold rests on negatives alone."
    )
    return Table("detection", "Detection, over the population", note, rows)


def _by_group(models: Sequence[Judged]) -> list[Row]:
    rows = []
    for group in GROUPS:
        for value in _values([m for m in models if m.planted and m.cell["split"] == "test"], group):
            chosen = [m for m in models if m.of(group) == value or (m.negative and group not in SAME_NEGATIVES)]
            rows.append(measure(f"by {group}", value, chosen, models))
    return rows


def _static(models: Sequence[Judged]) -> list[Row]:
    """What a scan looks for: one trigger for all pictures. The others have their rows by family."""
    mine = [model for model in models if model.negative or model.static]
    rows = [
        measure("static triggers", value, [m for m in mine if m.negative or m.stratum == value], mine)
        for value in POSITIVE
        if any(m.stratum == value for m in mine)
    ]
    return rows + _left_out([m for m in mine if m.stratum != "low-asr"], "static triggers that took, ")


def _left_out(models: Sequence[Judged], prefix: str) -> list[Row]:
    """Each attack and each architecture of the test, met by a threshold and a calibration that never saw it."""
    rows = []
    for group, what in (("family", "attack"), ("architecture", "architecture")):
        for value in _values([m for m in models if m.planted and m.cell["split"] == "test"], group):
            own = group in SAME_NEGATIVES
            chosen = [m for m in models if m.of(group) == value or (m.negative and not own)]
            others = [m for m in models if m.of(group) != value]
            rows.append(measure(f"{prefix}leave one {what} out", value, chosen, others))
    return rows


def measure(scope: str, value: Any, chosen: Sequence[Judged], teachers: Sequence[Judged], split: str = "test") -> Row:
    """`chosen` models of a split, judged by what the development models among `teachers` teach."""
    planted, negatives = _scores(chosen, split, "planted"), _scores(chosen, split, "negative")
    taught = _scores(teachers, "development", "planted"), _scores(teachers, "development", "negative")
    row: Row = {
        "detector": chosen[0].detector if chosen else "", "scope": scope, "group": value, "planted": len(planted),
        "negatives": len(negatives), "development_planted": len(taught[0]), "development_negatives": len(taught[1]),
    }  # fmt: skip
    row |= _interval("auc", roc_auc(planted, negatives))
    row |= _rate("tpr_at_5", tpr_at_fpr(planted, negatives, FPR)) | _rate(
        "tpr_at_1", tpr_at_fpr(planted, negatives, 0.01)
    )
    if taught[1]:
        threshold = threshold_at(taught[1], FPR)
        row |= {"frozen_threshold": threshold} | _rate("frozen_tpr", alarms(planted, threshold))
        row |= _rate("frozen_fpr", alarms(negatives, threshold))
    row |= _calibrated(fit_platt(*taught), planted, negatives)
    told = [model for model in chosen if model.cell["split"] == split and model.alarm is not None]
    for name, side in (("alarm_tpr", [m for m in told if m.planted]), ("alarm_fpr", [m for m in told if m.negative])):
        row |= _rate(name, Rate(sum(bool(m.alarm) for m in side), len(side)) if side else None)
    times = [model.seconds for model in chosen if model.cell["split"] == split]
    return row | {"median_seconds": statistics.median(times) if times else None}


def _calibrated(calibration: Calibration | None, planted: list[float], negatives: list[float]) -> Row:
    if calibration is None:
        return {}
    probabilities = calibration.probabilities([*planted, *negatives])
    truth = np.array([True] * len(planted) + [False] * len(negatives), dtype=bool)
    return _interval("cross_entropy", cross_entropy(probabilities, truth)) | _interval(
        "brier", brier(probabilities, truth)
    )


def calibration_table(models: Sequence[Judged]) -> Table:
    """Whether p-values of test negatives against development negatives are super-uniform: over all, by architecture
    (each with its own development negatives) and by kind."""
    rows: list[Row] = []
    for detector in _detectors(models):
        mine = [model for model in models if model.detector == detector and model.negative]
        rows += _uniformity_rows(detector, "all", "all", mine, mine)
        for group, own in (("architecture", True), ("kind", False)):
            for value in _values([m for m in mine if m.cell["split"] == "test"], group):
                chosen = [m for m in mine if m.of(group) == value]
                rows += _uniformity_rows(detector, f"by {group}", value, chosen, chosen if own else mine)
    note = (
        "Share of test negatives whose conformal p-value is at most the level, with the exact interval: valid where "
        f"`low` does not exceed the level. Fewer than {LEAST_NEGATIVES} development negatives: calibration none."
    )
    return Table("calibration", "Calibration of negatives", note, rows)


def _uniformity_rows(
    detector: str, scope: str, value: Any, chosen: Sequence[Judged], teachers: Sequence[Judged]
) -> list[Row]:
    test, known = _scores(chosen, "test", "negative"), _scores(teachers, "development", "negative")
    row: Row = {"detector": detector, "scope": scope, "group": value, "test_negatives": len(test),
                "development_negatives": len(known)}  # fmt: skip
    p_values = conformal_p_values(test, known)
    if p_values is None or not test:
        return [row | {"calibration": "none"}]
    return [
        row | {"calibration": "conformal", "level": u.level, "rejected": u.rate.hits, "rate": u.rate.value,
               "low": u.low, "high": u.high, "holds": u.low <= u.level}
        for u in uniformity(p_values)
    ]  # fmt: skip


def _detectors(models: Sequence[Judged]) -> list[str]:
    return list(dict.fromkeys(model.detector for model in models))


def _values(models: Sequence[Judged], group: str) -> list[Any]:
    return list(dict.fromkeys(model.of(group) for model in models))


_SIDES: dict[str, Callable[[Judged], bool]] = {"planted": lambda m: m.planted, "negative": lambda m: m.negative}


def _scores(models: Sequence[Judged], split: str, side: str) -> list[float]:
    return [model.score for model in models if model.cell["split"] == split and _SIDES[side](model)]


def _interval(name: str, found: Measure | None) -> Row:
    if found is None:
        return {name: None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _rate(name: str, rate: Rate | None) -> Row:
    if rate is None or not rate.trials:
        return {name: None}
    low, high = clopper_pearson(rate)
    return {name: rate.value, f"{name}_low": low, f"{name}_high": high, f"{name}_hits": rate.hits,
            f"{name}_trials": rate.trials}  # fmt: skip
