"""The item `detect`: one detector looks at one planted model, with clean pictures alone."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.attacks.spec import PlantSpec
from auditor.bench.bases import base_folder
from auditor.bench.matrix import SCAN
from auditor.bench.samples import data_seeds, fitted
from auditor.bench.store import Store, write_json
from auditor.certification.verdict import severity_of
from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.checkpoint.subject import frozen
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.errors import InconclusiveError, UsageError
from auditor.evidence import Shown, best_by_target, is_variant, save_triggers
from auditor.searching import findings_of, statistic
from probes.inversion import probe_of
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.suspects import Searched
from probes.text import normalise, says

ALARMS = ("medium", "high", "critical")
"""Severities at which `pcr-audit scan` fails a model, with its default --fail-on."""


@dataclass(frozen=True)
class Opinion:
    """What a detector brought back: `score` (larger is worse), other statistics to try in its place, the target it
    takes to be planted, and whether it would raise an alarm by a threshold of its own."""

    score: float
    target: str | None
    statistics: Mapping[str, float]
    alarm: bool | None
    notes: Sequence[str] = ()


def detect(item: Item, store: Store, device: str) -> Row:
    """The opinion, whether its target is the planted text, and what it cost; raises InconclusiveError for a score that
    is no number."""
    settings = item.settings
    opened = open_checkpoint(store.model(settings), device=device, attention="eager")
    pool, held_out = fitted(opened.subject, settings, "pool", "held_out")
    seed = derive_seed(int(settings["seed"]), "bench", "detect", settings["detector"])
    began = time.monotonic()
    with frozen(opened.subject.model):
        if settings["use"] == SCAN:
            opinion = _scan(item, store, opened, pool, held_out, seed)
        else:
            opinion = _ask_baseline(settings, opened, pool, held_out, seed, device)
    if not math.isfinite(opinion.score):
        raise InconclusiveError("the detector's score is no number", got=str(opinion.score))
    planted = PlantSpec.model_validate(settings["spec"])
    text = planted.build_payload().text if planted.kind == "attack" else None
    return {
        "score": opinion.score,
        "statistics": dict(opinion.statistics),
        "alarm": opinion.alarm,
        "target": opinion.target,
        "planted": text,
        "match": match(opinion.target, text),
        "notes": list(opinion.notes),
        "detection_seconds": round(time.monotonic() - began, 2),
        "model": opened.manifest.digest,
        "data_seeds": data_seeds(settings, "pool", "held_out"),
        "n": {"pool": len(pool), "held_out": len(held_out)},
    }


def match(recovered: str | None, planted: str | None) -> str | None:
    """How a recovered target relates to the planted text: equal, contains, within, variant, other, or none."""
    if planted is None:
        return None
    if not recovered or not normalise(recovered):
        return "none"
    if normalise(recovered) == normalise(planted):
        return "equal"
    if says(recovered, planted):
        return "contains"
    if says(planted, recovered):
        return "within"
    return "variant" if is_variant(recovered, planted) else "other"


def _ask_baseline(
    settings: Mapping[str, Any], opened: Opened, pool: list[Sample], held_out: list[Sample], seed: int, device: str
) -> Opinion:
    from probes.baselines import DETECTORS

    if settings["use"] not in DETECTORS:
        raise UsageError(
            "there is no such detector", where="detectors", got=settings["use"],
            expected=", ".join([SCAN, *DETECTORS]), todo="correct the matrix",
        )  # fmt: skip
    detector: Any = DETECTORS[settings["use"]](**settings["settings"])
    base = None
    if detector.needs_base:
        folder = base_folder(settings["architecture"])
        base = open_checkpoint(folder, device=device, attention="eager").subject
    found = detector.detect(opened.subject, pool, held_out, seed, base)
    return Opinion(float(found.score), found.target, {}, None, found.notes)


def _scan(item: Item, store: Store, opened: Opened, pool: list[Sample], held_out: list[Sample], seed: int) -> Opinion:
    """Our own scan; the triggers of what `pcr-audit repair` would unlearn are kept for guided repairs: of its alarms,
    and of what it names as *low* where there are none."""
    searched = probe_of(item.settings["settings"]).measure(
        opened.subject, pool, held_out, seed, lambda what, share: None
    )
    shown = best_by_target(findings_of(searched))
    alarms = [item for item in shown if item.finding.severity in ALARMS]
    _keep_triggers(item, store, alarms or shown)
    best = max(searched.suspects, key=lambda s: s.gap, default=None)
    target = alarms[0].finding.target if alarms else (best.target.text if best else None)
    excess = max((suspect.excess for suspect in searched.suspects), default=0.0)
    return Opinion(statistic(searched), target, {"excess": excess}, bool(alarms), _notes(searched))


def _notes(searched: Searched) -> list[str]:
    return [
        f"{s.target.text!r}: gap {s.gap:+.2f}, excess {s.excess:.2f}, {s.point.family} {s.point.budget:g}, "
        f"{'natural, ' if s.natural else ''}{'habitual, ' if s.habitual else ''}{severity_of(s) or 'nothing'}"
        for s in searched.suspects
    ]


def _keep_triggers(item: Item, store: Store, found: Sequence[Shown]) -> None:
    folder = store.findings(item.settings, item.settings["detector"])
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "triggers").mkdir(parents=True)
    for number, shown in enumerate(found):
        save_triggers(shown, folder, f"finding-{number}")
    write_json(folder / "done.json", item.digest, {"findings": len(found)})
