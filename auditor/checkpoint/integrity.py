"""The gate before any model code: a folder is hostile until every file in it has been found harmless and whole."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from auditor.checkpoint.manifest import Manifest, build_manifest, list_files
from auditor.checkpoint.shards import name_some, read_json, shorten, weight_files
from auditor.errors import CheckpointError, IncompleteError, UnsafeError

_CODE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npz"})
_OTHER_WEIGHTS = {
    ".gguf": "llama.cpp",
    ".ggml": "llama.cpp",
    ".h5": "Keras",
    ".keras": "Keras",
    ".msgpack": "Flax",
    ".onnx": "ONNX",
    ".tflite": "LiteRT",
}
_OTHER_MAGIC = {b"GGUF": ".gguf", b"\x89HDF": ".h5"}

# Keys by which a configuration makes transformers run code or open weights that this gate has not seen.
_FORBIDDEN_KEYS = {
    "auto_map": "names program code to run",
    "custom_pipelines": "names program code to run",
    "transformers_weights": "points to other weights",
}
_KERNEL_KEYS = ("attn_implementation", "experts_implementation")
_CHUNK = 2**22  # values looked at together: 16 MiB in float32


def check_folder(folder: Path) -> Manifest:
    """The manifest of a folder that is safe to open and whole; nothing in it is run.

    Raises UsageError when there is no such folder; UnsafeError for pickles, program code, and links or settings that lead
    out of it; IncompleteError for weights that are missing, truncated or stray; CheckpointError for what is no model.
    """
    files = list_files(folder)
    _refuse_no_model(folder, files)
    for path in files:
        _refuse_code(path)
        _refuse_pickle(folder, path)
        _refuse_other_weights(folder, path)
    _check_settings(folder, files)
    weight_files(folder)
    return build_manifest(folder)


def check_finite(folder: Path) -> None:
    """Raises IncompleteError for the first tensor of the folder's weights that holds NaN or infinity.

    Reads one tensor at a time from disk and looks at 4 million values together.
    """
    for file in weight_files(folder):
        with safe_open(folder / file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (a handle is no mapping)
                if bad := _count_not_finite(weights.get_tensor(name)):
                    raise IncompleteError(
                        f"tensor {shorten(name)} holds values that are NaN or infinite",
                        where=file,
                        got=f"{bad:,} such values",
                        expected="finite numbers",
                        todo="take an earlier checkpoint: training has diverged, or the file is damaged",
                    )


def refuse_incomplete(loading_info: Mapping[str, Any]) -> None:
    """Raises IncompleteError unless every tensor of the model came from the files, and every tensor of the files is used.

    `loading_info` is what transformers returns for `output_loading_info=True`, after its own ignore and tying rules.
    """
    faults = {
        "missing (transformers made them up)": [str(name) for name in loading_info.get("missing_keys", ())],
        "unexpected": [str(name) for name in loading_info.get("unexpected_keys", ())],
        "of another shape": [_say_mismatch(entry) for entry in loading_info.get("mismatched_keys", ())],
        "with errors": [str(message) for message in loading_info.get("error_msgs", ())],
    }
    found = [f"{len(names)} {fault}: {name_some(names)}" for fault, names in faults.items() if names]
    if found:
        raise IncompleteError(
            "the weights are not those of the model that config.json describes",
            got="; ".join(found),
            expected="each tensor of the model once, in its shape, and no other",
            todo="save the whole model with `save_pretrained`; merge or remove adapters first",
        )


def _refuse_no_model(folder: Path, files: tuple[str, ...]) -> None:
    if "config.json" in files:
        if "adapter_config.json" in files:  # transformers would quietly load the adapter into the model
            raise CheckpointError(
                "holds a model and an adapter: which of them ships is unclear",
                where=str(folder),
                got="config.json and adapter_config.json",
                todo="merge the adapter into the model, or keep the two in folders of their own",
            )
        return
    adapter = "adapter_config.json" in files
    raise CheckpointError(
        "is an adapter, not a whole model" if adapter else "is no model: it has no config.json",
        where=str(folder),
        got=name_some(files) or "an empty folder",
        expected="config.json and *.safetensors",
        todo="merge the adapter into its base and save that" if adapter else "give the folder that `save_pretrained` wrote",
    )


def _refuse_code(path: str) -> None:
    if PurePosixPath(path).suffix.lower() in _CODE:
        raise UnsafeError(
            "is program code, and no code from a checkpoint is ever run",
            where=path,
            todo="use a model that transformers supports itself, and take the code out of the folder",
        )


def _refuse_pickle(folder: Path, path: str) -> None:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".safetensors":  # its header's length may look like a pickle's first bytes; `weight_files` reads it
        return
    with _opened(folder, path) as start:
        pass
    if suffix in _PICKLES or _is_pickle(start):
        raise UnsafeError(
            "is a pickle, or may be one: opening it can run any program",
            where=path,
            expected="weights as *.safetensors",
            todo="convert it on a machine you can lose, with transformers: `from_pretrained(...)` and `save_pretrained(...)`; "
            "take optimiser states and training arguments out of the folder",
        )
