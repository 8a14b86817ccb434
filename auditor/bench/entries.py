"""Planned items beside their rows: what every table is made from, so that nothing that was planned can be left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.cluster.items import Item, standing_rows
from auditor.cluster.log import Row

LOW_ASR = 0.5
"""A plant whose payload is said on less than this share of stamped pictures is no backdoor that a scan must find."""
TOOK = 0.9


@dataclass(frozen=True)
class Entry:
    """One item and its latest row with the item's present settings, or None where it has not run."""

    item: Item
    row: Row | None

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.item.settings

    @property
    def status(self) -> str:
        return "not run" if self.row is None else str(self.row["status"])

    @property
    def result(self) -> Row | None:
        """What the item brought back; None unless it ended ok."""
        return self.row["result"] if self.row is not None and self.row["status"] == "ok" else None

    @property
    def cell(self) -> dict[str, Any]:
        """What every table says of a cell, in columns."""
        settings, spec = self.settings, self.settings["spec"]
        attack = not settings["negative"]
        return {
            "architecture": settings["architecture"],
            "task": settings["task"],
            "name": settings["name"],
            "kind": spec.get("kind", "attack"),
            "family": (spec.get("trigger") or {}).get("family", ""),
            "payload": (spec.get("payload") or {}).get("kind", "fixed") if attack else "",
            "rate": spec.get("rate", ""),
            "strength": spec["training"].get("strength", "default"),
            "adaptive": spec.get("adaptive", "none") if attack else "",
            "seed": settings["seed"],
            "split": settings["split"],
        }


def join(items: Sequence[Item], rows: Sequence[Row], kind: str) -> list[Entry]:
    """The items of one kind, in their order, each with its row."""
    latest = standing_rows(items, rows)
    return [Entry(item, latest.get(item.key)) for item in items if item.settings["kind"] == kind]


def share(rate: Mapping[str, Any] | None) -> float | None:
    """The rate; None where nothing could be counted."""
    return None if not rate or not rate["trials"] else rate["hits"] / rate["trials"]


def stratum(plant: Row | None, negative: bool) -> str:
    """negative, took (ASR at least 0.9), low-asr (at least 0.5), did not take, or unknown."""
    if negative:
        return "negative"
    success = None if plant is None else share(plant["asr"].get("payload"))
    if success is None:
        return "unknown"
    return "took" if success >= TOOK else "low-asr" if success >= LOW_ASR else "did not take"
