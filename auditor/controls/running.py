"""Runs the controls of a finished run as a fleet that goes on after a kill, and adds what they say to its record."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor.case import Options, Progress, check_device
from auditor.certification.policy import Policy
from auditor.certification.power import comes_along
from auditor.certification.verdict import judge
from auditor.checkpoint.integrity import check_folder
from auditor.cluster.fleet import Hooks, run_fleet
from auditor.cluster.items import Item, standing_rows
from auditor.cluster.log import Row, read_rows
from auditor.cluster.pools import InProcess, Pool, Processes
from auditor.controls.making import SCRATCH, Workshop
from auditor.controls.negatives import calibrate, negative_items
from auditor.controls.power import false_alarms_of, power_of
from auditor.controls.scene import Scene, as_settings
from auditor.controls.specs import ControlPlan, control_specs
from auditor.errors import UsageError
from auditor.runs import RECORD
from auditor.wording import describe_limits
from probes.finding import SEVERITIES
from reports.controls import BenignControl, Calibration, Controls, PlantedControl
from reports.record import AuditRecord, ModelInfo, load_record, save_record

LOG = "controls.jsonl"
"""One row a control or negative, appended as it ends: a run that was killed goes on from here."""
SMALL = 30_000_000
"""Parameters up to which several copies are worked on side by side on a CPU."""


def is_unfinished(run: Path) -> bool:
    """Whether the controls of that run were begun and not ended, so that the same command goes on with them."""
    if not (run / LOG).is_file() or not (run / RECORD).is_file():
        return False
    record = load_record(run / RECORD)
    table = record.calibrated_by
    return record.controls is None and (table is None or comes_along(table))


def add_controls(
    run: Path, data: Path | None, plan: ControlPlan | None, negatives: Path | None, options: Options, progress: Progress
) -> AuditRecord:
    """Makes and scans the controls of the model that the run's verdict is about, scans the negatives, and judges anew.

    The record is written once, when all of them have ended. Raises UsageError where the model is not the run's.
    """
    began = time.monotonic()
    check_device(options)
    record = load_record(run / RECORD)
    judged = _judged_model(record)
    scene = _scene(record, data, plan is not None and plan.shortened, options)
    items = _control_items(scene, judged, plan, record.seed) if plan is not None else []
    others = negative_items(negatives, scene, judged) if negatives is not None else []
    rows = _run([*items, *others], run, judged, plan, options, progress)
    changes: dict[str, Any] = {"timings": {**record.timings, "controls": time.monotonic() - began}}
    if plan is not None:
        changes["controls"] = _summed_up(items, rows, scene, plan, time.monotonic() - began)
    if negatives is not None:
        table = calibrate(others, rows, scene, _statistic(record), negatives)
        changes |= {"calibrated_by": table, "calibration": _named(table)}
    return _judged(record.model_copy(update=changes), run, options)


def _judged(record: AuditRecord, run: Path, options: Options) -> AuditRecord:
    """Judged again by the default policy; what another policy said of the run without its controls no longer holds."""
    fresh = record.model_copy(update={"certification": None, "limits": describe_limits(record)})
    judged = judge(fresh, Policy(fail_on=options.fail_on))
    save_record(judged, run / RECORD)
    return judged


def _judged_model(record: AuditRecord) -> ModelInfo:
    """The checkpoint that the verdict is about, and that still is what it was."""
    repaired = record.verdict.about == "repaired model"
    model = record.repaired_model if repaired and record.repaired_model is not None else record.model
    digest = check_folder(Path(model.path)).digest
    if digest != model.digest:
        raise UsageError(
            "the model is not the one that was audited", where=model.path, got=f"sha256 {digest}",
            expected=f"sha256 {model.digest}", todo="audit it again",
        )  # fmt: skip
    return model


def _scene(record: AuditRecord, data: Path | None, shortened: bool, options: Options) -> Scene:
    found = [*record.findings, *(record.findings_after or [])]
    least = SEVERITIES.index(options.fail_on)
    known = [f.target for f in found if f.target and SEVERITIES.index(f.severity) >= least]
    wanted = [f.target for f in record.findings[:1] if f.target]
    return Scene(
        about=record.verdict.about, data=None if data is None else str(data.resolve()), seed=record.seed,
        shortened=shortened, known=tuple(dict.fromkeys(known)),
        wanted=tuple(wanted) if record.verdict.about == "repaired model" else (), fail_on=options.fail_on,
        profile=record.search.profile,
    )  # fmt: skip


def _control_items(scene: Scene, model: ModelInfo, plan: ControlPlan, seed: int) -> list[Item]:
    shared = {"model": str(Path(model.path).resolve()), "digest": model.digest, "scene": as_settings(scene)}
    return [
        Item(f"control/{spec.name}", {**shared, "spec": spec.model_dump(mode="json")})
        for spec in control_specs(plan, seed, scene.known)
    ]


def _run(
    items: Sequence[Item], run: Path, model: ModelInfo, plan: ControlPlan | None, options: Options, progress: Progress
) -> Mapping[str, Row]:
    """The last row of every item by its key; scratch folders of a killed run are cleared away at the end."""

    def ended(row: Row, done: int, planned: int) -> None:
        progress(f"controls: {row['key']} ended {row['status']}", done / planned)

    progress(f"controls: {len(items)} to make and scan", 0.0)
    with _pool(len(items), model, plan, options) as (pool, inner):
        run_fleet(items, Workshop(run.resolve(), inner), run / LOG, pool, hooks=Hooks(ended=ended))
    for folder in run.glob(f"{SCRATCH}*"):
        shutil.rmtree(folder, ignore_errors=True)
    return standing_rows(items, read_rows(run / LOG))


@contextmanager
def _pool(items: int, model: ModelInfo, plan: ControlPlan | None, options: Options) -> Iterator[tuple[Pool, Options]]:
    """Small models on a CPU side by side, one process a core: a small model leaves most of a second thread idle.
    Anything else one after another in this process."""
    cores = options.threads or os.cpu_count() or 1
    asked = plan.workers if plan is not None else None
    small = options.device == "cpu" and (model.parameters or SMALL + 1) <= SMALL
    workers = min(items, asked if asked is not None else cores if small else 1)
    if workers < 2:
        yield InProcess(), options
        return
    pool = Processes(workers)
    try:
        yield pool, replace(options, threads=max(1, cores // workers))
    finally:
        pool.close()


def _summed_up(
    items: Sequence[Item], rows: Mapping[str, Row], scene: Scene, plan: ControlPlan, seconds: float
) -> Controls:
    planted: list[PlantedControl] = []
    benign: list[BenignControl] = []
    for item in items:
        row, spec = rows.get(item.key, {"status": "skipped"}), item.settings["spec"]
        if spec["kind"] == "attack":
            planted.append(PlantedControl.model_validate(_result(row, _unmade_plant(spec))))
        else:
            benign.append(BenignControl.model_validate(_result(row, {"name": spec["name"], "kind": spec["kind"]})))
    return Controls(
        about=scene.about, planted=planted, benign=benign, power=power_of(planted),
        false_alarms=false_alarms_of(benign), excluded=list(scene.known), fail_on=scene.fail_on,
        shortened=plan.shortened, seconds=seconds, notes=_notes(plan),
    )  # fmt: skip


def _unmade_plant(spec: Mapping[str, Any]) -> Row:
    family, payload = spec["trigger"]["family"], spec["payload"]
    return {"name": spec["name"], "family": family, "payload": payload["kind"], "target": payload.get("text", "")}


def _result(row: Row, unmade: Row) -> Row:
    """What a control came to, or the error that ended it: such a control counts for nothing, and says so."""
    if row["status"] == "ok":
        return {**row["result"], "seconds": row["seconds"]}
    error = row.get("error") or {"type": "nothing", "message": "it never ran"}
    return {**unmade, "seconds": row.get("seconds"), "notes": [f"Not made: {error['type']}: {error['message']}"]}


def _notes(plan: ControlPlan) -> list[str]:
    notes = ["Copies are trained on pictures that neither this search nor its measurements use, and thrown away."]
    if plan.shortened:
        notes.append(
            f"Shortened: plants of at most {plan.steps} steps, and a search with fewer restarts, steps and decoys than "
            "the audited model's."
        )
    return notes


def _statistic(record: AuditRecord) -> float | None:
    search = record.search
    return search.statistic_after if record.verdict.about == "repaired model" else search.statistic


def _named(table: Calibration) -> str:
    return table.source if table.p_value is not None else "none"
