"""Calibration tables that come with the tool: what whole scans of models that carry nothing came to, by geometry.

A table holds for models whose tensors have its names and shapes (fine-tunes of its base), searched with the same
settings on as many pictures. Others have none, and their scans no p-value but by negatives of their owners.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from auditor.certification.power import SHIPPED, smallest_population
from auditor.checkpoint.opening import Opened
from probes.inversion import PROFILES
from probes.null import conformal_p
from reports.controls import Calibration

FOLDER = Path(__file__).parent / "tables"
LEAST = smallest_population(0.05)
REVISION = 2
"""Counted up when a scan's statistic comes to mean something else by a change that no setting tells: then tables of
former searches fit no more."""


@dataclass(frozen=True)
class Table:
    """`statistics` of the whole scans of negatives, by name, on `pool` and `held_out` pictures; `about` says what they
    are, and `search` is the digest of the profile's settings then."""

    name: str
    about: str
    geometry: str
    profile: str
    search: str
    pool: int
    held_out: int
    made_by: str
    statistics: Mapping[str, float]


def shipped(
    opened: Opened, profile: str, pictures: tuple[int, int], statistic: float, folder: Path = FOLDER
) -> Calibration | None:
    """The conformal p-value of a scan's statistic among the table that fits; None where no table does, or it is too
    small. `pictures` were searched and held out."""
    found = (geometry(opened.subject.weights()), profile, search_digest(profile), *pictures)
    for path in sorted(folder.glob("*.json")):
        content = path.read_bytes()
        table = Table(**json.loads(content))
        fits = (table.geometry, table.profile, table.search, table.pool, table.held_out) == found
        if fits and len(table.statistics) >= LEAST:
            null = list(table.statistics.values())
            return Calibration(
                source=f"{SHIPPED} {table.name}", digest=hashlib.sha256(content).hexdigest(), statistic=statistic,
                negatives=null, names=list(table.statistics), p_value=conformal_p(statistic, null),
                notes=[table.about, "Valid where this model came about as they did, but for what is suspected."],
            )  # fmt: skip
    return None


def search_digest(profile: str) -> str:
    """Of all settings of a profile's search, and of the revision of its statistic."""
    return hashlib.sha256(f"{REVISION} {PROFILES[profile]!r}".encode()).hexdigest()


def geometry(weights: Mapping[str, Tensor]) -> str:
    """A digest of the names and shapes of all tensors: the same for every fine-tune of a base."""
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in weights.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
