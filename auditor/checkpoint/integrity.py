"""The gate before any model code: a folder is hostile until every file in it has been found harmless and whole."""

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

    Raises UsageError when there is no such folder; UnsafeError for pickles, program code, and links or settings that
    lead out of it; IncompleteError for weights that are missing, truncated or stray; CheckpointError for what is no
    model.
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
    """Raises IncompleteError unless every tensor of the model came from the files, and each of the files' is used.

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
    message, todo = "is no model: it has no config.json", "give the folder that `save_pretrained` wrote"
    if "adapter_config.json" in files:
        message, todo = "is an adapter, not a whole model", "merge the adapter into its base and save that"
    raise CheckpointError(
        message,
        where=str(folder),
        got=name_some(files) or "an empty folder",
        expected="config.json and *.safetensors",
        todo=todo,
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
    if suffix in _PICKLES or _starts_as_pickle(_first_bytes(folder, path)):
        raise UnsafeError(
            "is a pickle, or may hold one: opening it can run any program",
            where=path,
            expected="weights as *.safetensors",
            todo="convert weights on a machine you can lose, with transformers' `from_pretrained` and `save_pretrained`"
            "; take optimiser states and training arguments out of the folder",
        )


def _starts_as_pickle(start: bytes) -> bool:
    """Whether a file starts as a pickle of protocol 2 to 5, or as a zip archive, which is what torch.save writes."""
    return (start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5")) or start.startswith(b"PK")


def _refuse_other_weights(folder: Path, path: str) -> None:
    """At the top of the folder only: nobody takes what is in a sub-folder for the model itself."""
    if "/" in path:
        return
    suffix = _OTHER_MAGIC.get(_first_bytes(folder, path), PurePosixPath(path).suffix.lower())
    if suffix in _OTHER_WEIGHTS:
        raise CheckpointError(
            f"holds weights for {_OTHER_WEIGHTS[suffix]}, which are not looked at",
            where=path,
            expected="weights as *.safetensors, alone",
            todo="take it out of the folder, or convert it with transformers: what ships must be what was audited",
        )


def _first_bytes(folder: Path, path: str) -> bytes:
    try:
        with (folder / path).open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise CheckpointError("cannot be read", where=path, got=str(error), todo="check its permissions") from error


def _check_settings(folder: Path, files: tuple[str, ...]) -> None:
    for path in files:
        if "/" not in path and path.endswith("config.json"):
            settings = read_json(folder / path)
            for key, value in _walk(settings):
                _refuse_setting(path, key, value)
    model_type = read_json(folder / "config.json").get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise CheckpointError(
            "does not say what model this is",
            where="config.json",
            got=f"model_type {shorten(model_type)}",
            expected='a name, such as "model_type": "llava"',
        )


def _refuse_setting(path: str, key: str, value: object) -> None:
    fault = _FORBIDDEN_KEYS.get(key)
    kernels = value.values() if isinstance(value, dict) else (value,)
    if key.endswith(_KERNEL_KEYS) and any(isinstance(kernel, str) and "/" in kernel for kernel in kernels):
        fault = "names a kernel to download and run"
    if fault:
        raise UnsafeError(
            f"`{key}` {fault}",
            where=path,
            got=shorten(value),
            expected="a model whose code is part of transformers",
            todo=f"if transformers supports the model itself, take `{key}` out of a copy",
        )


def _walk(node: object) -> Iterator[tuple[str, object]]:
    """Every key and its value, at whatever depth; without recursion, because the depth is the attacker's."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node.items()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _count_not_finite(tensor: Tensor) -> int:
    """How many values are NaN or infinite; eight-bit floats are widened first, because torch cannot ask them."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or "float4" in str(tensor.dtype):
        return 0  # integers, booleans and four-bit floats have no such values
    chunks = (chunk.float() if chunk.element_size() == 1 else chunk for chunk in torch.split(tensor.flatten(), _CHUNK))
    finite = (torch.isfinite(chunk) for chunk in chunks)
    return sum(int((~these).sum()) for these in finite if not these.all())  # to ask for all is faster


def _say_mismatch(entry: object) -> str:
    """A name with both shapes: transformers gives (name, shape in the file, shape in the model)."""
    if isinstance(entry, tuple) and len(entry) == 3:
        return f"{entry[0]} is {list(entry[1])}, the model wants {list(entry[2])}"
    return str(entry)
