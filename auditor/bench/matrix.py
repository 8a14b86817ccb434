"""A matrix file: what is planted, where, with which seeds, and what is asked of every planted model; typed and checked.

A matrix names architectures, tasks, attacks, negatives (touched-but-clean models) and seeds, each seed of one split.
`waves` choose from these and are run in their order, so that the most valuable cells come first.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from auditor.bench.places import find_line
from auditor.errors import UsageError

Split = Literal["development", "test"]
Task = Literal["caption", "vqa"]
SPLITS: tuple[Split, ...] = ("development", "test")
TASKS: tuple[Task, ...] = ("caption", "vqa")
SCAN = "scan"
"""The detector that is this project's own: the target-free inversion of `pcr-audit scan`."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seeds(_Strict):
    """Every seed belongs to one split: thresholds and calibration see development seeds alone."""

    development: tuple[int, ...] = ()
    test: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> Self:
        both = sorted(set(self.development) & set(self.test))
        if both:
            raise ValueError(f"seeds {both} are in both splits")
        if len(set(self.development)) + len(set(self.test)) != len(self.development) + len(self.test):
            raise ValueError("a seed is named twice")
        return self

    def of(self, split: Split) -> tuple[int, ...]:
        return self.development if split == "development" else self.test


class Sizes(_Strict):
    """Samples of each part; all but `plant` come from the test split of the scenes and share no picture."""

    plant: Annotated[int, Field(ge=16)] = 1600
    pool: Annotated[int, Field(ge=8)] = 96
    held_out: Annotated[int, Field(ge=8)] = 64
    repair: Annotated[int, Field(ge=8)] = 256
    measure: Annotated[int, Field(ge=8)] = 128


class Planted(_Strict):
    """One attack or negative: the fields of a PlantSpec, and the splits and tasks in which it appears."""

    name: Name
    kind: str = "attack"
    rate: float | None = None
    adaptive: str | None = None
    trigger: dict[str, Any] | None = None
    payload: dict[str, Any] | None = None
    training: dict[str, Any] = {}
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = SPLITS
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = TASKS


class Detector(_Strict):
    """A detector under a name of its own: `use` is its registered name, `settings` its fields."""

    use: Name | None = None
    settings: dict[str, Any] = {}


class Method(_Strict):
    """A repair method under a name of its own, with its fields and those of the repair's schedule; `fresh` asks for a
    new inversion against the repaired model, which costs as much as a scan. `findings` names the scan whose findings
    are unlearned, where the method unlearns any. `hardening` trains the base on the cell's poisoned data with the
    method's loss, in place of repairing the planted model: the setting of the PCR paper."""

    use: Name | None = None
    settings: dict[str, Any] = {}
    schedule: dict[str, Any] = {}
    fresh: bool = False
    findings: Name = SCAN
    hardening: bool = False


class Wave(_Strict):
    """A part of the matrix, run before the next one. What is left out means everything, or nothing to be asked."""

    name: Name
    architectures: Names | None = None
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] | None = None
    attacks: tuple[Name, ...] | None = None
    negatives: tuple[Name, ...] | None = None
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = SPLITS
    seeds: tuple[int, ...] | None = None
    detectors: tuple[Name, ...] = ()
    methods: tuple[Name, ...] = ()


class Matrix(_Strict):
    """The whole file."""

    name: Name
    about: str = ""
    architectures: Names
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = TASKS
    seeds: Seeds
    sizes: Sizes = Sizes()
    training: dict[str, Any] = {}
    attacks: tuple[Planted, ...] = ()
    negatives: tuple[Planted, ...] = ()
    detectors: dict[Name, Detector] = {}
    methods: dict[Name, Method] = {}
    waves: Annotated[tuple[Wave, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [planted.name for planted in (*self.attacks, *self.negatives)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"attacks and negatives share a name: {twice}")
        for wave in self.waves:
            self._check_wave(wave)
        for name, method in self.methods.items():
            if (self.detectors.get(method.findings, Detector()).use or method.findings) != SCAN:
                raise ValueError(f"method {name!r}: `findings` names {method.findings!r}, which is no scan here")
        return self

    def _check_wave(self, wave: Wave) -> None:
        known: dict[str, set[Any]] = {
            "architectures": set(self.architectures),
            "tasks": set(self.tasks),
            "attacks": {attack.name for attack in self.attacks},
            "negatives": {negative.name for negative in self.negatives},
            "seeds": {*self.seeds.development, *self.seeds.test},
        }
        for field, names in known.items():
            unknown = sorted(set(getattr(wave, field) or ()) - names)
            if unknown:
                raise ValueError(f"wave {wave.name!r}: `{field}` names {unknown}, the matrix has {sorted(names)}")

    def planted(self, name: str) -> Planted:
        return next(planted for planted in (*self.attacks, *self.negatives) if planted.name == name)


def load_matrix(path: Path) -> Matrix:
    """Reads and checks a matrix; raises UsageError that names the file, the line and the field."""
    if not path.is_file():
        raise UsageError(
            "there is no such matrix", where=str(path), got="no file", expected="a TOML file such as "
            "benchmarks/matrix-tiny.toml",
        )  # fmt: skip
    try:
        text = path.read_bytes().decode("utf-8")
        return Matrix.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise _explain(path, text, error) from error
    except ValueError as error:  # not UTF-8, or not TOML: tomllib names line and column
        raise UsageError("is no TOML", where=str(path), got=str(error), expected="a matrix in TOML") from error


def _explain(path: Path, text: str, error: ValidationError) -> UsageError:
    """The first complaint, with the line and section it is about and how many more there are."""
    first, *more = error.errors(include_url=False)
    place = tuple(first["loc"])
    section = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
    value = first["input"]
    return UsageError(
        f"`{section}` cannot be used" if section else "the matrix contradicts itself",
        where=f"{path}:{find_line(text, place)}",
        got=repr(value)[:120] if place and isinstance(value, str | int | float | bool | list) else first["msg"],
        expected=first["msg"] if place else "a matrix whose parts fit together",
        todo="correct the line" + (f"; {len(more)} more complaints follow" if more else ""),
    )
