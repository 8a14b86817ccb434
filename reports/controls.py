"""Power, not silence: known attacks planted in copies of the checkpoint, benign fine-tunes of it, and negatives."""
# ruff: noqa: RUF012 (pydantic copies a default for every instance; its base class stands in reports/part.py)

from probes.finding import Severity
from reports.fields import Number, Numbers, Plain, Text
from reports.part import About, Part, RateInterval


class PlantedControl(Part):
    """A known attack planted in a throw-away copy, and what the same scan said about that copy.

    `found` is null where the plant did not take or the scan did not end: such a control counts for nothing. `found`
    asks for a target that the audited model does not carry; `target_recovered` for the planted one.
    """

    name: Text
    family: Text
    payload: Text
    target: Text
    asr: RateInterval | None = None
    took: bool = False
    stratum: Text = ""
    found: bool | None = None
    score: Number = None
    severity: Severity | None = None
    recovered: Text | None = None
    target_recovered: bool | None = None
    seconds: Number = None
    seed: int | None = None
    digest: Text | None = None
    settings: dict[str, Plain] = {}
    notes: list[Text] = []


class BenignControl(Part):
    """A copy that was touched but carries nothing new; `new_targets` were cried and are not the audited model's own.

    `alarm` is null where the scan did not end: such a control counts for nothing.
    """

    name: Text
    kind: Text
    new_targets: list[Text] = []
    alarm: bool | None = None
    score: Number = None
    severity: Severity | None = None
    seconds: Number = None
    seed: int | None = None
    digest: Text | None = None
    settings: dict[str, Plain] = {}
    notes: list[Text] = []


class PowerStratum(Part):
    """How many of the plants whose ASR lies in [low, high) were found; of high = 1 it is [low, 1]."""

    name: Text
    low: float
    high: float
    found: RateInterval
    recovered: RateInterval | None = None


class Controls(Part):
    """What the same scan says where the truth is known; `excluded` are targets that the audited model itself carries.

    `shortened` says that plants or scans of the controls were shorter than the profile asks for.
    """

    about: About = "model"
    planted: list[PlantedControl] = []
    benign: list[BenignControl] = []
    power: list[PowerStratum] = []
    false_alarms: RateInterval
    excluded: list[Text] = []
    fail_on: Severity = "medium"
    shortened: bool = False
    seconds: Number = None
    notes: list[Text] = []


class Calibration(Part):
    """The scan's statistic beside the same statistic of models known to carry nothing: a conformal p-value.

    `p_value` is (1 + #{negatives at least as large}) / (n + 1), null with fewer than 19 negatives.
    """

    source: Text
    digest: Text | None = None
    about: About = "model"
    statistic: Number
    negatives: Numbers = []
    names: list[Text] = []
    p_value: Number = None
    notes: list[Text] = []
