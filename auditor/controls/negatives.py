"""Negatives: models known to carry nothing, scanned alike, so that a scan's statistic has a valid p-value."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from auditor.checkpoint.integrity import check_folder
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.controls.scene import Scene, as_settings
from auditor.errors import UsageError
from probes.null import conformal_p
from reports.controls import Calibration
from reports.record import ModelInfo

LEAST = 19
"""Fewer negatives give no p-value at all: the smallest one possible would be above 0.05."""
SOURCE = "benign models of the user"


def negative_items(folder: Path, scene: Scene, model: ModelInfo) -> list[Item]:
    """One item a checkpoint below `folder`; raises UsageError where there is none, or one is the audited model."""
    found = sorted(path.parent for path in folder.glob("*/config.json")) if folder.is_dir() else []
    if not found:
        raise UsageError(
            "holds no models", where=str(folder), got="no folder with a config.json",
            expected=f"{LEAST} or more folders, each a checkpoint that is known to carry nothing",
            todo="name the folder that holds them with --negatives",
        )  # fmt: skip
    shared = {"family": model.family, "scene": as_settings(scene)}
    items = []
    for path in found:
        digest = check_folder(path).digest
        if digest == model.digest:
            raise UsageError(
                "the audited model itself is among the negatives", where=str(path), got=f"sha256 {digest}",
                expected="other models, known to carry nothing", todo="take it out of the folder",
            )  # fmt: skip
        items.append(Item(f"negative/{path.name}", {**shared, "model": str(path.resolve()), "digest": digest}))
    return items


def calibrate(
    items: Sequence[Item], rows: Mapping[str, Row], scene: Scene, statistic: float | None, folder: Path
) -> Calibration:
    """The audited model's statistic among the negatives'; a negative whose scan did not end is left out and said.

    Exchangeable where the negatives were made as the audited model was, but for the backdoor: that is the user's claim.
    """
    ended = [item for item in items if rows.get(item.key, {}).get("status") == "ok"]
    null = [float(rows[item.key]["result"]["statistic"]) for item in ended]
    names = [item.key.partition("/")[2] for item in ended]
    missing = [item.key.partition("/")[2] for item in items if item not in ended]
    notes = [f"Not scanned: {', '.join(missing)}."] if missing else []
    valid = statistic is not None and len(null) >= LEAST and not scene.shortened
    if len(null) < LEAST:
        notes.append(f"{len(null)} negatives were scanned; a p-value needs at least {LEAST}.")
    if scene.shortened:
        notes.append("The negatives were searched less than the audited model, so there is no p-value.")
    digests = "\n".join(str(item.settings["digest"]) for item in ended)
    return Calibration(
        source=f"{SOURCE} ({folder.name})", digest=hashlib.sha256(digests.encode()).hexdigest(), about=scene.about,
        statistic=statistic, negatives=null, names=names,
        p_value=conformal_p(statistic, null) if valid and statistic is not None else None, notes=notes,
    )  # fmt: skip
