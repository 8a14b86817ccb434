"""The item `repair`: one method repairs one planted model; the exported folder is reloaded and measured."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auditor.attacks.planting import divide
from auditor.attacks.poisoning import Poison
from auditor.attacks.spec import PlantSpec
from auditor.bench.asking import Said, ask, poison_of
from auditor.bench.bases import base_folder
from auditor.bench.detecting import ALARMS
from auditor.bench.judging import numbers
from auditor.bench.samples import data_seeds, fitted
from auditor.bench.store import Store, read_json, write_json
from auditor.certification.verdict import severity_of
from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.checkpoint.subject import frozen
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.errors import UsageError
from auditor.evaluation.scoring import as_rate
from auditor.repair.adversary import Recovered
from auditor.repair.export import export
from auditor.repair.loop import Repaired, Schedule, harden, repair, seed_everything_else
from auditor.repair.methods import METHODS
from auditor.runs import load_triggers
from probes.finding import Rate
from probes.inversion import PROFILES
from probes.sample import Sample
from probes.seeding import derive_seed
from probes.subject import Subject
from probes.targets import Target
from probes.triggers import PromptTrigger


@dataclass(frozen=True)
class Ground:
    """What a repair starts from: the planted model, its pictures, and what it and its base said about them."""

    opened: Opened
    repair: list[Sample]
    measure: list[Sample]
    poison: Poison
    planted: Said
    base: Said


def repair_cell(item: Item, store: Store, device: str) -> Row:
    """Numbers before and after. A guided repair after a scan that named nothing, not even as *low*, changes nothing:
    `applied` is false and the numbers after are those before, because that is what a user would have."""
    settings = item.settings
    ground = _prepare(item, store, device)
    seed = derive_seed(int(settings["seed"]), "bench", "repair", settings["method"])
    before = numbers(ground.measure, ground.planted, ground.base, ground.poison)
    row: Row = {
        "applied": True, "before": before, "after": before, "repair_seconds": 0.0, "steps": 0,
        "model": ground.opened.manifest.digest, "data_seeds": data_seeds(settings, "repair", "measure"),
        "n": {"repair": len(ground.repair), "measure": len(ground.measure)},
    }  # fmt: skip
    method = _method(settings)
    findings = store.findings(settings, settings["findings"])
    recovered = [Recovered(kept.trigger, kept.target) for kept in load_triggers(findings)]
    if method.needs_triggers and not recovered:
        return row | {"applied": False}
    scratch = store.scratch(item)
    done, repaired = _repair(settings, ground, method, recovered, seed, scratch / "model", device)
    said = ask(repaired.subject, ground.measure, ground.poison)
    after = numbers(ground.measure, said, ground.base, ground.poison)
    fresh = _fresh(settings, repaired, ground.poison, seed) if settings["fresh"] else {}
    shutil.rmtree(scratch)
    kept = {"kept_share": done.path[0].share, "path": [asdict(step) for step in done.path]} if done.path else {}
    return row | {"after": after, "repair_seconds": round(done.seconds, 2), "steps": done.steps} | kept | fresh


def _prepare(item: Item, store: Store, device: str) -> Ground:
    settings = item.settings
    opened = open_checkpoint(store.model(settings), device=device)
    for_repair, measure = fitted(opened.subject, settings, "repair", "measure")
    poison = poison_of(PlantSpec.model_validate(settings["spec"]), opened.subject)
    path, digest = store.answers(settings), f"{opened.manifest.digest}/{len(measure)}"
    kept = read_json(path, digest)
    if kept is None:
        base = _open_base(settings, device).subject
        kept = {name: ask(subject, measure, poison).as_data() for name, subject in _both(opened.subject, base)}
        write_json(path, digest, kept)
    return Ground(opened, for_repair, measure, poison, Said.of(kept["planted"]), Said.of(kept["base"]))


def _both(planted: Subject, base: Subject) -> tuple[tuple[str, Subject], tuple[str, Subject]]:
    return ("planted", planted), ("base", base)


def _method(settings: Mapping[str, Any]) -> Any:
    if settings["use"] not in METHODS:
        raise UsageError(
            "there is no such repair method", where="methods", got=settings["use"], expected=", ".join(METHODS),
            todo="correct the matrix",
        )  # fmt: skip
    return METHODS[settings["use"]](**settings["settings"])


def _repair(
    settings: Mapping[str, Any], ground: Ground, method: Any, recovered: list[Recovered], seed: int, out: Path,
    device: str,
) -> tuple[Repaired, Opened]:  # fmt: skip
    seed_everything_else(seed)
    if settings["hardening"]:
        done, trained = _harden(settings, ground.poison.spec, method, seed, device)
    else:
        trained, schedule = ground.opened, Schedule(**settings["schedule"])
        weights = _open_base(settings, device).subject.weights() if method.needs_base else None
        done = repair(trained.subject, method, schedule, ground.repair, recovered, seed, base=weights)
    export(trained.subject.model, trained.folder, out)
    return done, open_checkpoint(out, device=device)


def _harden(
    settings: Mapping[str, Any], spec: PlantSpec, method: Any, seed: int, device: str
) -> tuple[Repaired, Opened]:
    """The base, fine-tuned on the very data that the cell's plant learned from, for as long and as hard."""
    base = _open_base(settings, device)
    (samples,) = fitted(base.subject, settings, "plant")
    learned = divide(base.subject, samples, spec, None).train
    poison = Poison.of(spec, base.subject.canvas, learned)
    training = spec.training
    alike = {"steps": training.total_steps, "batch": training.batch, "rate": training.learning_rate}
    schedule = Schedule(**{**alike, **settings["schedule"]})
    return harden(base.subject, [poison.teach(sample) for sample in learned], schedule, method, seed), base


def _open_base(settings: Mapping[str, Any], device: str) -> Opened:
    return open_checkpoint(base_folder(settings["architecture"]), device=device)


def _fresh(settings: Mapping[str, Any], repaired: Opened, poison: Poison, seed: int) -> Row:
    """A new inversion against the repaired model, with the planted text among its candidates: the best success of that
    text under any trigger it finds, and which targets it would alarm about."""
    pool, held_out = fitted(repaired.subject, settings, "pool", "held_out")
    subject = repaired.subject
    text = poison.payload.text if poison.spec.kind == "attack" else None
    wanted = [Target(text, subject.encode(text), "asked for")] if text else []
    profile = "standard" if isinstance(poison.trigger, PromptTrigger) else "quick"
    with frozen(subject.model):
        searched = PROFILES[profile].measure(
            subject, pool, held_out, derive_seed(seed, "fresh"), lambda what, share: None, wanted
        )
    rates = [point.rate for point in searched.points if point.target.text == text]
    best: Rate | None = max(rates, key=lambda rate: rate.value, default=None)
    alarms = [s.target.text for s in searched.suspects if severity_of(s) in ALARMS]
    return {"asr_fresh": as_rate(best).model_dump() if best else None, "alarms_after": alarms}
