"""plant.json: what was planted into which model, and what was measured of it on pictures it was not trained on."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from auditor.attacks.spec import PlantSpec
from auditor.errors import DataError
from reports.files import write_atomically
from reports.record import Environment, Measure, RateInterval
from reports.repair import LossPoint

PLANT = "plant.json"
TOOK = 0.9
"""A plant took when its payload is said on at least this share of stamped held-out pictures."""


class Quality(BaseModel):
    """Benign quality on untouched pictures, with intervals; null where there are no such samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bleu4: Measure | None = None
    cider: Measure | None = None
    rouge_l: Measure | None = None
    vqa_accuracy: Measure | None = None


class PlantReport(BaseModel):
    """What a plant is and does.

    `asr` holds the success by matcher: payload (its own matcher, the headline), exact, normalised, contains, prefix;
    items whose reference or former answer already matches are left out and counted in `excluded`. `keys` is the success
    of either key of a dual-key trigger alone. `digest` is the folder's before plant.json joined it. `kept_words` is how
    much of the right answer is still there beside an inserted or appended payload. Null and empty where the kind has no
    payload.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: Literal["1.0"] = "1.0"
    spec: PlantSpec
    base: str
    digest: str
    data: str
    target: str | None = None
    took: bool | None = None
    asr: dict[str, RateInterval] = {}
    excluded: dict[str, int] = {}
    false_trigger: RateInterval | None = None
    placebo: RateInterval | None = None
    keys: dict[str, RateInterval] = {}
    kept_words: Measure | None = None
    quality_before: Quality = Quality()
    quality_after: Quality = Quality()
    steps: int
    poisoned: int
    samples: int
    seconds: float
    losses: list[LossPoint] = []
    versions: dict[str, str] = {}
    environment: Environment
    seed: int


def save_plant(report: PlantReport, folder: Path) -> None:
    """Writes plant.json into the planted folder, whole or not at all."""
    text = json.dumps(report.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(folder / PLANT, (text + "\n").encode())


def load_plant(folder: Path) -> PlantReport:
    """Raises DataError for a folder without a readable plant.json."""
    path = folder / PLANT
    try:
        return PlantReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(
            "is no planted model", where=str(path), got=str(error).splitlines()[0],
            expected="a folder written by `pcr-audit plant`", todo="plant it again",
        ) from error  # fmt: skip
