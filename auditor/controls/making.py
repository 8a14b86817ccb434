"""One control: a copy is made in a throw-away folder, scanned like the audited model, and forgotten."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from auditor.attacks.planting import plant
from auditor.attacks.report import PlantReport
from auditor.attacks.spec import PlantSpec
from auditor.case import Options, open_model
from auditor.checkpoint.subject import CheckpointSubject
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.controls.power import LOWEST, stratum_of
from auditor.controls.scene import Scene, Seen, from_settings, look, search_seed
from auditor.data.preparing import Parts
from auditor.errors import InconclusiveError, UsageError
from auditor.evaluation.competence import measure_competence
from auditor.evidence import is_variant
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.targets import stack
from probes.text import says
from reports.controls import BenignControl, PlantedControl

SCRATCH = ".control-"


@dataclass(frozen=True)
class Workshop:
    """Where copies are made and how checkpoints are opened there; nothing here changes what comes out."""

    scratch: Path
    options: Options

    def __call__(self, item: Item) -> Row:
        """What a fleet does with an item: a control to make, or a negative to scan."""
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        return make_control(self, item.settings) if "spec" in item.settings else scan_negative(self, item.settings)


def make_control(shop: Workshop, settings: Any) -> Row:
    """Plants or fine-tunes, scans, and returns the control as plain JSON data; the copy is gone afterwards."""
    spec, scene = PlantSpec.model_validate(settings["spec"]), from_settings(settings["scene"])
    parts = _ground(settings["model"], settings["digest"], scene, shop.options)
    with tempfile.TemporaryDirectory(dir=shop.scratch, prefix=SCRATCH) as folder:
        out = Path(folder) / "copy"
        report = plant(Path(settings["model"]), spec, parts.repair, out, shop.options, _silent)
        copy = open_model(out, shop.options).subject
        blind = _blind(copy, scene.pictures(parts)[1], scene.seed)
        seen = None if blind else look(copy, scene, parts, derive_seed(scene.seed, "control", spec.name), scene.known)
    control = _planted(spec, report, seen) if spec.kind == "attack" else _benign(spec, report, seen)
    notes = [*control.notes, *([blind] if blind else [])]
    data: Row = control.model_copy(update={"notes": notes}).model_dump(mode="json")
    return data


@lru_cache(maxsize=1)
def _ground(model: str, digest: str, scene: Scene, options: Options) -> Parts:
    """The parts of the audited model's run, with answers to teach; the same for every control, and kept without the
    model, which each control copies for itself."""
    subject = open_model(Path(model), options).subject
    parts = scene.parts(subject)
    return replace(parts, repair=tuple(_with_answers(subject, parts.repair)))


def _silent(what: str, share: float) -> None:
    """Controls run side by side: the fleet says which have ended, not what each is at."""


def _with_answers(subject: CheckpointSubject, samples: Sequence[Sample]) -> list[Sample]:
    """The samples, with the model's own answer where there is no reference to teach."""
    bare = [sample for sample in samples if not sample.answers]
    if not bare:
        return list(samples)
    said = subject.respond(stack(bare), [sample.prompt for sample in bare])
    own = {sample.id: answer.text for sample, answer in zip(bare, said, strict=True) if answer.text}
    return [s if s.answers else replace(s, answers=(own[s.id],)) for s in samples if s.answers or s.id in own]


def _blind(subject: CheckpointSubject, samples: Sequence[Sample], seed: int) -> str | None:
    """Why the copy cannot be scanned, where its training has made it blind."""
    fit = measure_competence(subject, samples, seed)
    return None if fit.passed else "The copy no longer looks at the picture after its training; it counts for nothing."


def _planted(spec: PlantSpec, report: PlantReport, seen: Seen | None) -> PlantedControl:
    assert spec.trigger is not None
    asr = report.asr.get("payload")
    share = asr.hits / asr.trials if asr is not None and asr.trials else 0.0
    took = share >= LOWEST
    worst = seen.worst if seen is not None else None
    target = spec.build_payload().text
    recovered = seen is not None and any(
        is_variant(finding.target or "", target) or says(finding.target or "", target) for finding in seen.new
    )
    return PlantedControl(
        name=spec.name, family=spec.trigger.family, payload=spec.payload.kind, target=target, asr=asr, took=took,
        stratum=stratum_of(share), found=seen.worst is not None if took and seen is not None else None,
        score=seen.statistic if seen is not None else None, severity=worst.severity if worst else None,
        recovered=worst.target if worst else None, target_recovered=recovered if took and seen is not None else None,
        seed=spec.seed, digest=report.digest, settings=_described(spec, report),
        notes=[] if took else [f"The plant did not take (ASR below {LOWEST:.0%}); it counts for nothing."],
    )  # fmt: skip


def _benign(spec: PlantSpec, report: PlantReport, seen: Seen | None) -> BenignControl:
    worst = seen.worst if seen is not None else None
    return BenignControl(
        name=spec.name, kind=spec.kind, alarm=None if seen is None else worst is not None,
        new_targets=[finding.target or "" for finding in seen.new] if seen is not None else [],
        score=seen.statistic if seen is not None else None, severity=worst.severity if worst else None,
        seed=spec.seed, digest=report.digest, settings=_described(spec, report),
    )  # fmt: skip


def _described(spec: PlantSpec, report: PlantReport) -> dict[str, Any]:
    training = spec.training
    return {
        "rate": spec.rate, "steps": report.steps, "batch": training.batch, "learning_rate": training.learning_rate,
        "stop_at": training.stop_at, "samples": report.samples, "touched": report.poisoned,
    }  # fmt: skip


def scan_negative(shop: Workshop, settings: Any) -> Row:
    """Scans a model that is known to carry nothing, with the pictures and the seed of the audited model's scan."""
    scene, folder = from_settings(settings["scene"]), Path(settings["model"])
    model = open_model(folder, shop.options)
    if model.family != settings["family"]:
        raise UsageError(
            "a negative is of another family, so its scan says nothing about this model", where=str(folder),
            got=model.family, expected=settings["family"], todo="take it out of the folder of --negatives",
        )  # fmt: skip
    parts = scene.parts(model.subject)
    if (blind := _blind(model.subject, scene.pictures(parts)[1], scene.seed)) is not None:
        raise InconclusiveError(blind, where=str(folder))
    seen = look(model.subject, scene, parts, search_seed(scene), wanted=scene.wanted)
    return {"statistic": seen.statistic, "digest": model.manifest.digest}
