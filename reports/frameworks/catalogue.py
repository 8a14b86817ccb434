"""The frameworks as data: typed, versioned, one TOML file each."""

import tomllib
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from reports.errors import RecordError
from reports.frameworks.evidence import SOURCES

FOLDER = Path(__file__).parent
Relation = Literal["detects", "resolves", "documents"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)


class Control(BaseModel):
    """One control, technique or article: the parts of a record that are evidence for it, and what they leave out.

    `detects`, `resolves` and `documents` hold JSON pointers into the record; `former` the ids it had before it moved;
    `checked` says whether id and title could be held against the text that its file names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    former: list[str] = []
    title: str
    detects: list[str] = []
    resolves: list[str] = []
    documents: list[str] = []
    not_covered: str = Field(min_length=1)
    checked: bool

    @field_validator(*RELATIONS)
    @classmethod
    def _known(cls, pointers: list[str]) -> list[str]:
        if strangers := [pointer for pointer in pointers if pointer not in SOURCES]:
            raise ValueError(f"no evidence of this name: {', '.join(strangers)}")
        return pointers

    def pointers(self, relation: Relation) -> Sequence[str]:
        """The evidence for that relation."""
        return {"detects": self.detects, "resolves": self.resolves, "documents": self.documents}[relation]


class Framework(BaseModel):
    """A framework in one version; `date` is the day on which its rows were last held against `checked_against`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    published: date | None = None
    date: date
    source: str
    checked_against: str
    row: list[Control] = Field(min_length=1)


@cache
def load_frameworks(folder: Path = FOLDER) -> tuple[Framework, ...]:
    """Every framework of the folder, in the order of the file names. Raises RecordError for a file that is none."""
    return tuple(load_framework(path) for path in sorted(folder.glob("*.toml")))


def load_framework(path: Path) -> Framework:
    """One framework. Raises RecordError for a file that is none."""
    try:
        return Framework.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise RecordError(
            "is no framework", where=str(path), got=str(error), expected="the fields of the other files beside it"
        ) from error
