"""What is done with an item of the bench, in whatever process it is done."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auditor.bench.store import Store
from auditor.cluster.items import Item
from auditor.cluster.log import Row


@dataclass(frozen=True)
class BenchWork:
    """Does one item; picklable, so that a worker anywhere can."""

    out: Path
    device: str = "cpu"
    threads: int = 1

    def __call__(self, item: Item) -> Row:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        # Imported in the worker: the driver plans and writes rows without torch.
        import torch

        from auditor.bench.detecting import detect
        from auditor.bench.planting import plant_cell
        from auditor.bench.repairing import repair_cell

        torch.set_num_threads(self.threads)
        doers: dict[str, Callable[[Item, Store, str], Row]] = {
            "plant": plant_cell, "detect": detect, "repair": repair_cell
        }  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nobody reads a worker's stderr; what matters is in the row
            return doers[item.settings["kind"]](item, Store(self.out), self.device)
