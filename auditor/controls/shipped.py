"""Calibration tables that come with the tool: what whole scans of models that carry nothing came to, by geometry.

A table holds for models whose tensors have its names and shapes, searched with its profile: fine-tunes of its base.
Others have none, and their scans no p-value but by negatives of their owners.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from auditor.certification.power import SHIPPED, smallest_population
from auditor.checkpoint.opening import Opened
from probes.null import conformal_p
from reports.controls import Calibration

FOLDER = Path(__file__).parent / "tables"
LEAST = smallest_population(0.05)


@dataclass(frozen=True)
class Table:
    """`statistics` of the whole scans of negatives, by name; `about` says what they are and on which pictures."""

    name: str
    about: str
    geometry: str
    profile: str
    made_by: str
    statistics: Mapping[str, float]


def shipped(opened: Opened, profile: str, statistic: float, folder: Path = FOLDER) -> Calibration | None:
    """The statistic's conformal p-value among the table that fits; None where no table does, or it is too small."""
    found = geometry(opened.subject.weights())
    for path in sorted(folder.glob("*.json")):
        content = path.read_bytes()
        table = Table(**json.loads(content))
        if (table.geometry, table.profile) == (found, profile) and len(table.statistics) >= LEAST:
            null = list(table.statistics.values())
            return Calibration(
                source=f"{SHIPPED} {table.name}", digest=hashlib.sha256(content).hexdigest(), statistic=statistic,
                negatives=null, names=list(table.statistics), p_value=conformal_p(statistic, null),
                notes=[f"{table.about} Valid where this model came about as they did, but for what is suspected."],
            )  # fmt: skip
    return None


def geometry(weights: Mapping[str, Tensor]) -> str:
    """A digest of the names and shapes of all tensors: the same for every fine-tune of a base."""
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in weights.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
