"""What a probe brings back: plain data, no tensors and no judgement."""

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Rate:
    """How often something happened: `hits` of `trials`."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        return self.hits / self.trials if self.trials else float("nan")


@dataclass(frozen=True)
class Null:
    """A statistic, and the same statistic where nothing is planted (decoys, placebos, reference samples)."""

    name: str
    value: float
    null: tuple[float, ...]
    meaning: str = ""


@dataclass(frozen=True)
class Finding:
    """One suspicion with its evidence.

    `score` is the probe's own statistic (larger is more suspicious); `p_value` and `p_adjusted` are None where no valid
    null exists. `asr` is the success of the recovered trigger on held-out pictures, `decoy_asr` the best success of
    decoy targets under triggers optimised in the same way at the same budget, `placebo` the success of random triggers.
    """

    probe: str
    target: str | None
    score: float
    p_value: float | None = None
    p_adjusted: float | None = None
    asr: Rate | None = None
    decoy_asr: Rate | None = None
    placebo: Rate | None = None
    clean: Rate | None = None
    trigger_kind: str | None = None
    budget: float | None = None
    severity: Severity = "low"
    statistics: tuple[Null, ...] = ()
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
