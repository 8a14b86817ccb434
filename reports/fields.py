"""Field types of the record: what can always be written as UTF-8 JSON, made so when a record is built."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _finite(number: float | None) -> float | None:
    return number if number is None or math.isfinite(number) else None


def _speakable(text: object) -> object:
    # File names and command lines may hold undecodable bytes, which UTF-8 JSON cannot.
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else text


def _plain(value: object) -> object:
    """JSON data of the same meaning: tuples and sets as lists, paths as text, numbers that are not finite as null."""
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, str | Path):
        return _speakable(str(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner) for inner in value), key=repr)
    if isinstance(value, Sequence):
        return [_plain(inner) for inner in value]
    raise ValueError(f"a setting of type {type(value).__name__} cannot be written as JSON")


def _listed(values: object) -> object:
    if hasattr(values, "tolist"):  # a numpy array
        return values.tolist()
    return list(values) if isinstance(values, tuple) else values


Number = Annotated[float | None, AfterValidator(_finite)]
Text = Annotated[str, BeforeValidator(_speakable)]
Plain = Annotated[Any, BeforeValidator(_plain)]
# Sequences to a type checker, so that a list of plain numbers may be handed over; lists once they are in a record.
Numbers = Annotated[Sequence[Number], BeforeValidator(_listed)]
Grid = Annotated[Sequence[Numbers], BeforeValidator(_listed)]
