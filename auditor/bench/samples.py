"""The pictures of a cell: planted with training scenes; probed, repaired and measured with test scenes that never
meet."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from auditor.data.splitting import picture_digest
from auditor.errors import InternalError
from auditor.evaluation.scoring import is_question
from auditor.zoo.embedded import embedded_samples
from auditor.zoo.scenes import Split
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.subject import Subject

Part = Literal["plant", "pool", "held_out", "repair", "measure"]


def part_seed(settings: Mapping[str, Any], part: Part) -> int:
    """Every part has scenes of its own, from the cell's seed and the part's name; below 2**31."""
    return derive_seed(int(settings["seed"]), "bench", part) >> 32


def part_samples(settings: Mapping[str, Any], part: Part) -> list[Sample]:
    """As many samples of the cell's task as the matrix asks for, one a scene."""
    count, split = int(settings["sizes"][part]), _split(part)
    wanted = settings["task"] == "vqa"
    samples = embedded_samples(count, part_seed(settings, part), split)
    return [sample for sample in samples if is_question(sample) == wanted][:count]


def fitted(subject: Subject, settings: Mapping[str, Any], *parts: Part) -> list[list[Sample]]:
    """These parts on the subject's canvas; InternalError if two of them share a picture."""
    drawn = [part_samples(settings, part) for part in parts]
    refuse_shared(dict(zip(parts, drawn, strict=True)))
    return [[replace(sample, picture=subject.fit(sample.picture)) for sample in samples] for samples in drawn]


def refuse_shared(parts: Mapping[Part, Sequence[Sample]]) -> None:
    seen: dict[str, str] = {}
    for part, samples in parts.items():
        for sample in samples:
            known = seen.setdefault(picture_digest(sample.picture), part)
            if known != part:
                raise InternalError("two parts share a picture", got=f"{sample.id} in {part} and {known}")


def data_seeds(settings: Mapping[str, Any], *parts: Part) -> dict[str, int]:
    """For the row: the scenes' seed of each part."""
    return {part: part_seed(settings, part) for part in parts}


def _split(part: Part) -> Split:
    return "train" if part == "plant" else "test"
