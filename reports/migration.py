"""Older records made readable: one step a schema version, each from JSON data to JSON data of the next one."""

from collections.abc import Callable, Mapping
from typing import Any

Data = dict[str, Any]


def migrate(data: Data, current: str) -> Data:
    """The same record in the form of schema `current`; what an older one did not hold stays empty."""
    while (version := data["schema_version"]) != current and version in STEPS:
        data = STEPS[version](data)
    return data


def _from_1_0(data: Data) -> Data:
    """1.1 adds fields and changes none; what a run could not decide stood among its verdict's reasons."""
    verdict = data.get("verdict")
    undecided = isinstance(verdict, dict) and verdict.get("outcome") == "inconclusive"
    doubts = verdict.get("reasons", []) if undecided and isinstance(verdict, dict) else []
    return {**data, "schema_version": "1.1", "doubts": doubts}


def _from_1_1(data: Data) -> Data:
    """1.2 adds the rounds of a repair, whether it was rolled back and whether it lasts."""
    return {**data, "schema_version": "1.2"}


STEPS: Mapping[str, Callable[[Data], Data]] = {"1.0": _from_1_0, "1.1": _from_1_1}
