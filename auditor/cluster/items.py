"""The items of a fleet, and which of them still have to run."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.cluster.log import Row


@dataclass(frozen=True)
class Item:
    """One piece of work: `key` names it for ever, `settings` (plain JSON data) is all it depends on, and it starts
    when the items that it `needs` have ended well."""

    key: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Tells a row of this item from one of an item that once had the same key and other settings."""
        text = json.dumps(self.settings, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def standing_rows(items: Iterable[Item], rows: Iterable[Row]) -> dict[str, Row]:
    """The latest row of every item that has one with its present settings."""
    digests = {item.key: item.digest for item in items}
    return {row["key"]: row for row in rows if digests.get(row["key"]) == row.get("digest")}


def count_errors(items: Iterable[Item], rows: Iterable[Row]) -> dict[str, int]:
    """How often each item has ended in an error with its present settings."""
    digests = {item.key: item.digest for item in items}
    errors = dict.fromkeys(digests, 0)
    for row in rows:
        if row["status"] == "error" and digests.get(row["key"]) == row.get("digest"):
            errors[row["key"]] += 1
    return errors


def split_by_need(items: Sequence[Item], rows: Sequence[Row], attempts: int) -> tuple[list[Item], dict[str, str]]:
    """What has to run, in order, and how everything else stands: "ok", or "error" when its attempts are used up."""
    latest, errors = standing_rows(items, rows), count_errors(items, rows)
    pending: list[Item] = []
    stands: dict[str, str] = {}
    for item in items:
        if item.key in latest and latest[item.key]["status"] == "ok":
            stands[item.key] = "ok"
        elif errors[item.key] >= attempts:
            stands[item.key] = "error"
        else:
            pending.append(item)
    return pending, stands
