"""Where a bench keeps what its items make: planted models, recovered triggers, answers; and what is still there."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.bench.matrix import SCAN
from auditor.cluster.items import Item
from reports.files import write_atomically

ROWS = "rows.jsonl"
RUNS = "runs.jsonl"


@dataclass(frozen=True)
class Store:
    """The output folder. Keys become folders; every node of a cluster must see it under the same path."""

    root: Path

    def model(self, settings: Mapping[str, Any]) -> Path:
        """The planted checkpoint of a cell."""
        return self.root / "models" / _below(settings)

    def mark(self, settings: Mapping[str, Any]) -> Path:
        """Beside the checkpoint: the digest of the item that made it, written when it was whole."""
        model = self.model(settings)
        return model.with_name(f"{model.name}.digest")

    def scratch(self, item: Item) -> Path:
        """An empty folder for one item; whatever a killed run left there is gone."""
        folder = self.root / "scratch" / item.key.replace("/", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def findings(self, settings: Mapping[str, Any], scan: str) -> Path:
        """What a scan of that name recovered from a cell's model: the triggers that guided repairs unlearn."""
        return self.root / "findings" / scan / _below(settings)

    def answers(self, settings: Mapping[str, Any]) -> Path:
        return self.root / "answers" / f"{_below(settings)}.json"

    def has_product(self, item: Item) -> bool:
        """Whether what other items need of this one is there."""
        if item.settings["kind"] == "plant":
            return (self.model(item.settings) / "plant.json").is_file()
        if item.settings["kind"] == "detect" and item.settings["use"] == SCAN:
            return (self.findings(item.settings, item.settings["detector"]) / "done.json").is_file()
        return True

    def drop_model(self, item: Item) -> None:
        """Deletes the planted model of a cell; its rows, triggers and answers stay."""
        if item.settings["kind"] == "plant":
            shutil.rmtree(self.model(item.settings), ignore_errors=True)


def _below(settings: Mapping[str, Any]) -> Path:
    return Path(*str(settings["plant"]).split("/")[1:])


def read_json(path: Path, digest: str) -> Any | None:
    """What `write_json` wrote for the same digest, or None."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return kept["content"] if kept["digest"] == digest else None


def write_json(path: Path, digest: str, content: Any) -> None:
    """Writes content whole or not at all, with the digest of what it depends on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"digest": digest, "content": content}, ensure_ascii=False).encode())
