"""How a repaired model was made, and whether the repair lasts."""
# ruff: noqa: RUF012 (pydantic copies a default for every instance; its base class stands in reports/part.py)

from collections.abc import Mapping

from pydantic import Field

from reports.fields import Number, Plain, Text
from reports.part import Measure, Part


class LossPoint(Part):
    """The loss parts at one step of the repair."""

    step: int
    parts: Mapping[str, Number]


class RepairRound(Part):
    """One round of a repair, and what a scan of its product still found."""

    targets: list[Text] = []
    seconds: Number = None


class Persistence(Part):
    """Whether a repair lasts: attack success after benign fine-tuning of the repaired model, by trigger, and the best
    success of a known target under a search with larger budgets."""

    steps: int = Field(ge=0)
    asr: dict[str, Measure] = {}
    asr_stronger: Measure | None = None
    stronger: Text = ""


class RepairInfo(Part):
    """How the repaired model was made; `rounds` but the last, which the verification looks at.

    `rolled_back` says why the repaired model was set aside.
    """

    method: Text
    settings: dict[str, Plain] = {}
    steps: int = Field(ge=0)
    seconds: Number = None
    losses: list[LossPoint] = []
    notes: list[Text] = []
    rounds: list[RepairRound] = []
    rolled_back: Text | None = None
    persistence: Persistence | None = None
