"""Writes a repaired checkpoint: a new folder, complete or not there at all, in the format and precision it came in."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from auditor.errors import UsageError

_WEIGHTS = (".safetensors", ".safetensors.index.json")


def export(model: Any, source: Path, out: Path) -> None:
    """Saves the weights as safetensors in the source's precision and copies everything else from the source.

    Raises UsageError when `out` lies inside the source folder or is the source itself.
    """
    if out.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            "a repair never writes into the model it was given", where=str(out), got=f"a folder inside {source}",
            expected="a folder elsewhere", todo="choose another --out",
        )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(source, folder, ignore=lambda _, names: [n for n in names if n.endswith(_WEIGHTS)])
        before = model.dtype
        config = (folder / "config.json").read_bytes()
        model.to(stored_dtype(source)).save_pretrained(folder)
        (folder / "config.json").write_bytes(config)
        model.to(before)
        if out.exists():
            out.rmdir()
        folder.rename(out)


def stored_dtype(folder: Path) -> torch.dtype:
    """The precision of the first floating-point tensor of a checkpoint."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (a safetensors handle is no mapping)
                dtype: torch.dtype = file.get_tensor(name).dtype
                if dtype.is_floating_point:
                    return dtype
    return torch.float32
