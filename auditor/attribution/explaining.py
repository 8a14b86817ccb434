"""Attribution maps of the target answer on stamped pictures, before and after the repair, on the same samples."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from auditor.attribution.patches import PatchMap, faithfulness, patch_map, points_at
from auditor.checkpoint.subject import CheckpointSubject
from auditor.evaluation.scoring import Attack
from auditor.evidence import Shown, save_png
from probes.sample import Sample
from probes.targets import answers_under
from probes.triggers import PatchTrigger, apply
from reports.maps import overlay
from reports.record import Attribution, RecordedFinding

EXPLAINED = 3
"""Samples whose answers are explained before and after a repair."""
MAPPED = 4
"""Findings that get a map of their own: those that the report shows in detail."""


def explain(
    before: CheckpointSubject,
    after: CheckpointSubject,
    samples: Sequence[Sample],
    attacks: Sequence[Attack],
    folder: Path,
    trigger_is_known: bool,
) -> list[Attribution]:
    """Maps the answer that the attack wants, teacher-forced to both models, on the first few samples."""
    if not attacks:
        return []
    attack = attacks[0]
    target = (*before.encode(attack.target), *sorted(before.end_tokens)[:1])
    chosen = list(samples[:EXPLAINED])
    said = [answers_under(subject, attack.trigger, chosen) for subject in (before, after)]
    found = []
    for number, sample in enumerate(chosen):
        pictures, prompts = apply(attack.trigger, sample.picture[None], [sample.prompt])
        stamped = replace(sample, picture=pictures[0], prompt=prompts[0])
        maps = [patch_map(subject, stamped, target) for subject in (before, after)]
        faith = [
            faithfulness(subject, stamped, target, found_map.values)
            for subject, found_map in zip((before, after), maps, strict=True)
        ]
        stem = f"attribution/sample-{number}"
        save_png(sample.picture, folder / f"{stem}-clean.png")
        save_png(stamped.picture, folder / f"{stem}-stamped.png")
        hits = [_hit(found_map, attack, before.canvas) if trigger_is_known else None for found_map in maps]
        found.append(
            Attribution(
                sample_id=sample.id,
                prompt=sample.prompt,
                answer_before=said[0][number].text,
                answer_after=said[1][number].text,
                clean_picture=f"{stem}-clean.png",
                stamped_picture=f"{stem}-stamped.png",
                values_before=maps[0].values,
                values_after=maps[1].values,
                delta_before=maps[0].delta,
                delta_after=maps[1].delta,
                hit_before=hits[0],
                hit_after=hits[1],
                insertion_before=faith[0].areas[0],
                deletion_before=faith[0].areas[1],
                insertion_after=faith[1].areas[0],
                deletion_after=faith[1].areas[1],
                insertion_curve_before=faith[0].insertion,
                deletion_curve_before=faith[0].deletion,
                insertion_curve_after=faith[1].insertion,
                deletion_curve_after=faith[1].deletion,
            )
        )
    return found


def with_maps(
    findings: Sequence[RecordedFinding],
    shown: Sequence[Shown],
    subject: CheckpointSubject,
    sample: Sample,
    folder: Path,
) -> list[RecordedFinding]:
    """The findings, the first few of them with a picture of where their answer is decided on the stamped sample."""
    return [
        _with_map(finding, item, subject, sample, folder, f"triggers/map-{number}-{finding.fingerprint}.png")
        if number < MAPPED and item.triggers and finding.target
        else finding
        for number, (finding, item) in enumerate(zip(findings, shown, strict=True))
    ]


def _with_map(
    finding: RecordedFinding, item: Shown, subject: CheckpointSubject, sample: Sample, folder: Path, path: str
) -> RecordedFinding:
    pictures, prompts = apply(item.triggers[0], sample.picture[None], [sample.prompt])
    stamped = replace(sample, picture=pictures[0], prompt=prompts[0])
    answer = (*subject.encode(finding.target or ""), *sorted(subject.end_tokens)[:1])
    values = patch_map(subject, stamped, answer).values
    save_png(stamped.picture, folder / path)
    with Image.open(folder / path) as picture:
        drawn = overlay(values, picture.convert("RGB"))
    drawn.save(folder / path)
    return finding.model_copy(update={"pictures": {**finding.pictures, "map": path}})


def _hit(found: PatchMap, attack: Attack, canvas: tuple[int, int]) -> bool | None:
    """The pointing game, where the trigger has a place."""
    if not isinstance(attack.trigger, PatchTrigger):
        return None
    height, width = attack.trigger.pattern.shape[-2:]
    return points_at(found.values, (attack.trigger.top, attack.trigger.left, height, width), canvas)
