"""The item `plant`: one model with an attack or a touched-but-clean fine-tune, measured on test scenes."""

import shutil
from pathlib import Path

from auditor.attacks.planting import plant
from auditor.attacks.report import PlantReport, load_plant
from auditor.attacks.spec import PlantSpec
from auditor.bench.bases import base_folder
from auditor.bench.samples import data_seeds, part_samples
from auditor.bench.store import Store
from auditor.case import Options
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.errors import DataError
from probes.seeding import derive_seed


def plant_cell(item: Item, store: Store, device: str) -> Row:
    """The plant's report without its losses. A whole folder that a killed run has left is taken as it is."""
    settings = item.settings
    spec, folder = PlantSpec.model_validate(settings["spec"]), store.model(settings)
    report = _left_behind(spec, store, item)
    if report is None:
        _clear(folder)
        options = Options(seed=derive_seed(int(settings["seed"]), "bench", "plant") >> 32, device=device)
        report = plant(
            base_folder(settings["architecture"]), spec, part_samples(settings, "plant"), folder, options,
            lambda what, share: None, part_samples(settings, "measure"),
        )  # fmt: skip
        store.mark(settings).write_text(item.digest)
    dumped = report.model_dump(mode="json", exclude={"losses", "spec", "versions", "environment"})
    return {**dumped, "data_seeds": data_seeds(settings, "plant", "measure")}


def _left_behind(spec: PlantSpec, store: Store, item: Item) -> PlantReport | None:
    folder, mark = store.model(item.settings), store.mark(item.settings)
    if not mark.is_file() or mark.read_text() != item.digest:
        return None
    try:
        report = load_plant(folder)
    except DataError:
        return None
    return report if report.spec == spec else None


def _clear(folder: Path) -> None:
    """Makes room: what stood there had other settings, and a killed run leaves half-written folders beside it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in (folder, *folder.parent.glob(f".{folder.name}-*")):
        shutil.rmtree(old, ignore_errors=True)
