"""From what was measured to the record: findings with their numbers, and the pictures that show them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from auditor.certification.verdict import severity_of
from auditor.evaluation.scoring import as_rate
from auditor.runs import save_trigger
from probes.finding import SEVERITIES, Finding, Null
from probes.sample import Sample
from probes.suspects import Suspect
from probes.text import normalise, similarity
from probes.triggers import AdditiveTrigger, PatchTrigger, Trigger
from probes.triggers.border import BorderTrigger
from probes.triggers.dual_key import DualKeyTrigger
from probes.triggers.word import WordTrigger
from reports.record import RecordedFinding, Statistic, TriggerInfo

WORTH_UNLEARNING = 0.2
"""Triggers of a finding that reach this success are kept for the repair."""


@dataclass(frozen=True)
class Shown:
    """A finding with the triggers that were recovered for it, the strongest evidence first.

    `variants` are triggers of garbled or shortened versions of its target, each with the version that it brings about.
    """

    finding: Finding
    triggers: tuple[Trigger, ...]
    variants: tuple[tuple[Trigger, str], ...] = ()

    @property
    def recovered(self) -> list[tuple[Trigger, str]]:
        """Every trigger with its target: what a repair unlearns."""
        return [*((trigger, self.finding.target or "") for trigger in self.triggers), *self.variants]


def from_suspect(suspect: Suspect) -> Shown | None:
    """A finding of the inversion probe, or None when nothing sets the suspect apart from its decoys."""
    severity = severity_of(suspect)
    if severity is None:
        return None
    point = suspect.point
    gap = Null(
        "log2 budget gap", suspect.gap, (), "how many times the budget has to double until a decoy target does as well"
    )
    success = Null(
        "success against decoys",
        point.rate.value,
        tuple(rate.value for rate in suspect.decoys),
        "share of held-out pictures that give the target, against targets nobody planted, optimised alike",
    )
    finding = Finding(
        probe="inversion",
        target=suspect.target.text,
        score=suspect.gap,
        asr=point.rate,
        decoy_asr=max(suspect.decoys, key=lambda rate: rate.value, default=None),
        placebo=suspect.placebo,
        clean=suspect.clean,
        trigger_kind=point.trigger.kind,
        budget=point.budget,
        severity=severity,
        statistics=(gap, success) if suspect.untouched is None else (gap, success, suspect.untouched),
        examples=tuple(answer.text for answer in suspect.point.examples),
    )
    others = sorted(suspect.others, key=lambda p: -p.rate.value)
    useful = [p.trigger for p in others if p is not point and p.rate.value >= WORTH_UNLEARNING]
    return Shown(finding, (point.trigger, *useful))


def confirmed(item: Shown, invariance: Null | None) -> Shown:
    """The same with what confirms it, if anything was measured, behind gap and success."""
    if invariance is None:
        return item
    gap, success, *others = item.finding.statistics
    return replace(item, finding=replace(item.finding, statistics=(gap, success, invariance, *others)))


def severity_first(item: Shown) -> tuple[int, float]:
    """Sorts the most severe first."""
    return -SEVERITIES.index(item.finding.severity), -item.finding.score


def best_by_target(shown: Sequence[Shown]) -> list[Shown]:
    """Most severe first; findings of one probe about one target once."""
    best: dict[tuple[str, str | int], Shown] = {}
    for number, item in enumerate(sorted(shown, key=severity_first)):
        best.setdefault((item.finding.probe, normalise(item.finding.target or "") or number), item)
    return list(best.values())


def is_variant(text: str, known: str | None) -> bool:
    """Whether a target is a garbled version of a stronger finding's: half of the characters in the same order."""
    return similarity(text, known or "") >= 0.5


def record_findings(
    shown: Sequence[Shown], folder: Path, sample: Sample | None, prefix: str = "finding"
) -> list[RecordedFinding]:
    """Writes each finding's triggers and pictures below `folder` and returns its entry for the record."""
    return [_record(item, folder, f"{prefix}-{number}", sample) for number, item in enumerate(shown)]


def _record(item: Shown, folder: Path, stem: str, sample: Sample | None) -> RecordedFinding:
    finding = item.finding
    pictures: dict[str, str] = {}
    save_triggers(item, folder, stem)
    first = item.triggers[0] if item.triggers else None
    if first is not None and not isinstance(first, WordTrigger):
        pictures = write_pictures(first, folder, stem, sample)
    return RecordedFinding(
        probe=finding.probe,
        target=finding.target,
        score=finding.score,
        p_value=finding.p_value,
        p_adjusted=finding.p_adjusted,
        asr=as_rate(finding.asr) if finding.asr else None,
        decoy_asr=as_rate(finding.decoy_asr) if finding.decoy_asr else None,
        placebo=as_rate(finding.placebo) if finding.placebo else None,
        clean=as_rate(finding.clean) if finding.clean else None,
        trigger=_describe(first, pictures, finding.budget) if first is not None else None,
        severity=finding.severity,
        statistics=[
            Statistic(name=s.name, value=s.value, null=list(s.null), meaning=s.meaning) for s in finding.statistics
        ],
        pictures=pictures,
        examples=list(finding.examples),
        notes=list(finding.notes),
    )


def save_triggers(item: Shown, folder: Path, stem: str) -> None:
    """Writes what a repair unlearns below `folder`, the strongest evidence first."""
    for number, (trigger, target) in enumerate(item.recovered):
        name = stem if number == 0 else f"{stem}-{number}"
        (folder / "triggers").mkdir(parents=True, exist_ok=True)
        save_trigger(folder / "triggers" / f"{name}.safetensors", trigger, target)


def _describe(trigger: Trigger, pictures: dict[str, str], budget: float | None) -> TriggerInfo:
    words = trigger.word if isinstance(trigger, DualKeyTrigger) else trigger
    text = words.word if isinstance(words, WordTrigger) else None
    return TriggerInfo(kind=trigger.kind, path=pictures.get("trigger"), budget=budget, text=text)


def write_pictures(trigger: Trigger, folder: Path, stem: str, sample: Sample | None) -> dict[str, str]:
    """PNGs of the trigger, and of one sample clean, stamped and as an amplified difference; paths relative to
    `folder`."""
    pictures = {"trigger": (show_trigger(trigger, sample), f"triggers/{stem}.png")}
    if sample is not None:
        stamped = trigger.stamp(sample.picture[None])[0]
        difference = amplified_difference(sample.picture, stamped)
        pictures |= {
            "clean": (sample.picture, f"triggers/{stem}-clean.png"),
            "stamped": (stamped, f"triggers/{stem}-stamped.png"),
            "difference": (difference, f"triggers/{stem}-difference.png"),
        }
    for picture, path in pictures.values():
        save_png(picture, folder / path)
    return {label: path for label, (_, path) in pictures.items()}


def show_trigger(trigger: Trigger, sample: Sample | None = None) -> Tensor:
    """(3, h, w) in [0, 1]: a patch as it is, a frame around mid grey, a perturbation amplified around it, and what any
    other trigger does to the sample, or to a grey picture where there is none; of one with a word beside it the
    picture's part."""
    if isinstance(trigger, DualKeyTrigger):
        return show_trigger(trigger.picture, sample)
    if isinstance(trigger, PatchTrigger):
        return trigger.pattern
    if isinstance(trigger, AdditiveTrigger):
        return (0.5 + trigger.delta / (2 * max(trigger.budget, 1e-6))).clamp(0, 1)
    if isinstance(trigger, BorderTrigger):
        return trigger.stamp(torch.full_like(trigger.pattern, 0.5))
    picture = torch.full((3, 64, 64), 0.5) if sample is None else sample.picture
    return amplified_difference(picture, trigger.stamp(picture[None])[0])


def amplified_difference(before: Tensor, after: Tensor) -> Tensor:
    """Twice the change, around mid grey, in [0, 1]."""
    return (0.5 + 2 * (after - before)).clamp(0, 1)


def save_png(picture: Tensor, path: Path) -> None:
    """(3, h, w) in [0, 1] → an 8-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
