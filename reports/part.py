"""What every part of the record is made of: frozen parts, numbers with their n and interval, and the three outcomes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reports.fields import Number

Outcome = Literal["pass", "fail", "inconclusive"]
Assurance = Literal["screened", "calibrated", "certified"]
About = Literal["model", "repaired model"]


class Part(BaseModel):
    """A part of the record: frozen, and unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(Part):
    """A number with its interval and its n; a number that is not finite is kept as null."""

    value: Number
    low: Number = None
    high: Number = None
    n: int = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Measure":
        _check_order(self.low, self.high)
        return self


class RateInterval(Part):
    """`hits` of `trials` with its interval, as shares in [0, 1]."""

    hits: int = Field(ge=0)
    trials: int = Field(ge=0)
    low: Number = None
    high: Number = None

    @model_validator(mode="after")
    def _possible(self) -> "RateInterval":
        if self.hits > self.trials:
            raise ValueError(f"{self.hits} hits of {self.trials} trials")
        _check_order(self.low, self.high)
        return self

    @property
    def measure(self) -> Measure:
        """The rate as a measure; null where nothing was tried."""
        return Measure(
            value=self.hits / self.trials if self.trials else None, low=self.low, high=self.high, n=self.trials
        )


def _check_order(low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"the interval is turned round: low {low} is above high {high}")
