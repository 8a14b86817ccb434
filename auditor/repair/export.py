"""Writes a repaired checkpoint: a new folder, complete or not there at all, in the format and precision it came in."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from auditor.checkpoint.quiet import quiet
from auditor.errors import UsageError
from auditor.runs import building

_WEIGHTS = (".safetensors", ".safetensors.index.json")
_KEPT = ("config.json", "generation_config.json")


REPAIRED = (
    "# A repaired checkpoint\n\nWritten by `pcr-audit repair`. The weights differ from the model it was made from; "
    "tokenizer, processor and configuration are copies. `README.original.md`, where there is one, is the card of "
    "that model and speaks of it alone. The evidence is in the run folder of the audit.\n"
)


def export(model: Any, source: Path, out: Path, card: str = REPAIRED) -> None:
    """Saves the weights as safetensors in the source's precision and copies everything else from the source.

    `card` becomes README.md; the source's own card stays beside it.

    Raises UsageError when `out` lies inside the source folder or is the source itself.
    """
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            "the model that was given is never written into", where=str(out), got=f"a folder inside {source}",
            expected="a folder elsewhere", todo="choose another --out",
        )  # fmt: skip
    with building(out) as folder, quiet():
        shutil.copytree(source, folder, ignore=_is_weights, dirs_exist_ok=True)
        kept = {name: (folder / name).read_bytes() for name in _KEPT if (folder / name).is_file()}
        before = model.dtype
        model.to(stored_dtype(source)).save_pretrained(folder)
        model.to(before)
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        _write_card(folder, card)


def _is_weights(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(_WEIGHTS)]


def _write_card(folder: Path, text: str) -> None:
    """Says what the folder is; the card that it came with stays beside it."""
    card = folder / "README.md"
    if card.is_file():
        card.rename(folder / "README.original.md")
    card.write_text(text, encoding="utf-8")


def stored_dtype(folder: Path) -> torch.dtype:
    """The precision of the first floating-point tensor of a checkpoint."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (a safetensors handle is no mapping)
                dtype: torch.dtype = file.get_tensor(name).dtype
                if dtype.is_floating_point:
                    return dtype
    return torch.float32
