"""A fake item's work, importable by Ray workers, and a driver that the tests can kill."""

import json
import os
import sys
import time
from pathlib import Path

from auditor.cluster.fleet import Hooks, run_fleet
from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.cluster.pools import Pool, Processes, RayPool, Resources


def work(item: Item) -> Row:
    """Leaves a mark for every start and every end, so that a test can count them."""
    marks = Path(item.settings["marks"])
    with (marks / "starts").open("a") as file:
        file.write(item.key + "\n")
    time.sleep(item.settings.get("sleep", 0.0))
    fails = item.settings.get("fails", 0)
    before = (marks / "starts").read_text().splitlines().count(item.key)
    if before <= fails:
        raise ValueError(f"{item.key} is broken")
    if item.settings.get("dies") and before <= item.settings["dies"]:
        os._exit(1)
    return {"key": item.key}


def chain(marks: Path, count: int, sleep: float = 0.0) -> list[Item]:
    """`count` roots, each with two that need it."""
    items: list[Item] = []
    for number in range(count):
        settings = {"marks": str(marks), "sleep": sleep}
        items.append(Item(f"root/{number}", settings))
        items += [Item(f"leaf/{number}/{name}", settings, (f"root/{number}",)) for name in "ab"]
    return items


def say(key: str) -> None:
    sys.stdout.write(json.dumps(key) + "\n")
    sys.stdout.flush()


def main() -> None:
    """A fleet of twelve short items; on Ray also one, the last, whose worker dies the first time."""
    marks = Path(sys.argv[1])
    dies = Item("dies", {"marks": str(marks), "dies": 1})
    pool: Pool = RayPool(Resources(workers=2)) if sys.argv[2] == "ray" else Processes(2)
    said = Hooks(ended=lambda row, done, planned: say(row["key"]))
    run_fleet(
        [*chain(marks, 4, 0.4), *([dies] if sys.argv[2] == "ray" else [])], work, marks / "log.jsonl", pool, hooks=said
    )
    pool.close()


if __name__ == "__main__":
    main()
