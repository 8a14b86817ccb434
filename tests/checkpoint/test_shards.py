import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from auditor.checkpoint.shards import INDEX, WEIGHTS, name_some, tensor_names, weight_files
from auditor.errors import CheckpointError, IncompleteError, UnsafeError

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write_raw(path: Path, header: object, data: bytes = bytes(8)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Two shards with three tensors, and their index."""
    save_file({"a": torch.zeros(2), "b": torch.zeros(1)}, tmp_path / "one.safetensors")
    save_file({"c": torch.zeros(3)}, tmp_path / "two.safetensors")
    write_index(tmp_path, a="one.safetensors", b="one.safetensors", c="two.safetensors")
    return tmp_path


def write_index(folder: Path, **places: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": places}))


def test_one_file_and_shards_are_both_whole(sharded: Path, untouched_llava: Path) -> None:
    assert weight_files(untouched_llava) == (WEIGHTS,)
    assert weight_files(sharded) == ("one.safetensors", "two.safetensors")


def test_names_are_those_that_safetensors_loads(untouched_llava: Path) -> None:
    assert tensor_names(untouched_llava / WEIGHTS) == load_file(untouched_llava / WEIGHTS).keys()


def test_shards_as_transformers_writes_them_pass(untouched_llava: Path, tmp_path: Path) -> None:
    from transformers import LlavaForConditionalGeneration

    LlavaForConditionalGeneration.from_pretrained(untouched_llava).save_pretrained(tmp_path, max_shard_size="3MB")
    assert len(weight_files(tmp_path)) > 1


def test_no_weights_at_all(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="no weights"):
        weight_files(tmp_path)


@pytest.mark.parametrize("missing", [1, 1000, 7_000_000])
def test_a_truncated_file_says_got_and_expected(llava_folder: Path, missing: int) -> None:
    path = llava_folder / WEIGHTS
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole - missing)
    with pytest.raises(IncompleteError, match="truncated") as error:
        tensor_names(path)
    assert (error.value.got, error.value.expected) == (f"{whole - missing:,} bytes", f"{whole:,} bytes")


@pytest.mark.parametrize("size", [0, 5, 8, 60])
def test_a_file_cut_in_its_header_is_truncated(tmp_path: Path, size: int) -> None:
    path = write_raw(tmp_path / WEIGHTS, {"w": ENTRY})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(IncompleteError, match="truncated") as error:
        tensor_names(path)
    assert error.value.got == f"{size} bytes"


def test_a_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(IncompleteError, match="git lfs pull"):
        weight_files(tmp_path)


def test_an_endless_header_is_not_read(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(struct.pack("<Q", 2**40) + bytes(8))
    with pytest.raises(CheckpointError, match="at most 100,000,000 bytes"):
        weight_files(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"[]",
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "w": {}}',
        {"w": ENTRY | {"shape": [3]}},
        {"w": ENTRY | {"shape": [-2]}},
        {"w": ENTRY | {"shape": [2**62, 8]}},
        {"w": ENTRY | {"dtype": "F16"}},
        {"w": ENTRY | {"dtype": "object"}},
        {"w": ENTRY | {"data_offsets": [8, 0]}},
        {"w": ENTRY | {"data_offsets": [4, 8], "shape": [1]}},
        {"w": ENTRY, "v": ENTRY},
        {"w": {"dtype": "F32"}},
        {"w": 3},
        {},
    ],
    ids=repr,
)
def test_a_header_that_does_not_fit_its_bytes_is_refused(tmp_path: Path, header: object) -> None:
    path = write_raw(tmp_path / WEIGHTS, header)
    with pytest.raises(CheckpointError, match=WEIGHTS):
        tensor_names(path)


def test_bytes_that_no_tensor_owns_are_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path / WEIGHTS, {"w": ENTRY}, bytes(9))
    with pytest.raises(CheckpointError, match="not fully covered"):
        tensor_names(path)


@pytest.mark.parametrize(
    "file", ["../one.safetensors", "/etc/one.safetensors", "sub/one.safetensors", "..\\one.safetensors", "..", "", 3,
             "C:one.safetensors", ".one.safetensors", "one.bin", "one.safetensors\0", None, ["one.safetensors"]],
)  # fmt: skip
def test_an_index_that_leaves_the_folder_is_refused(sharded: Path, file: object) -> None:
    write_index(sharded, a=file, b="one.safetensors", c="two.safetensors")
    with pytest.raises(UnsafeError, match="leads elsewhere for tensor 'a'") as error:
        weight_files(sharded)
    assert error.value.where == INDEX


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {"a": "one.safetensors"}}', "{", '{"metadata": {}}'])
def test_an_index_without_its_parts_is_refused(sharded: Path, index: str) -> None:
    (sharded / INDEX).write_text(index)
    with pytest.raises(CheckpointError, match=INDEX):
        weight_files(sharded)


def test_a_tensor_twice_in_the_index_is_refused(sharded: Path) -> None:
    places = '{"a": "one.safetensors", "a": "two.safetensors"}'
    (sharded / INDEX).write_text(f'{{"metadata": {{}}, "weight_map": {places}}}')
    with pytest.raises(CheckpointError, match="'a' stands there twice"):
        weight_files(sharded)


@pytest.mark.parametrize("other", ["pytorch_model.bin.index.json", "model.safetensors.fp16.index.json"])
def test_other_indexes_are_refused(sharded: Path, other: str) -> None:
    (sharded / other).write_text("{}")
    with pytest.raises(CheckpointError, match=other):
        weight_files(sharded)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "two.safetensors").unlink()
    with pytest.raises(IncompleteError, match=r"two\.safetensors: 1 of 2 weight files are missing"):
        weight_files(sharded)


def test_a_missing_tensor_is_named(sharded: Path) -> None:
    save_file({"a": torch.zeros(2)}, sharded / "one.safetensors")
    with pytest.raises(IncompleteError, match=r"one\.safetensors: 1 tensors .* are missing") as error:
        weight_files(sharded)
    assert error.value.got == "b"


@pytest.mark.parametrize("stray", ["a", "never named"])
def test_a_tensor_in_two_shards_or_in_none_of_the_index_is_refused(sharded: Path, stray: str) -> None:
    save_file({"c": torch.zeros(3), stray: torch.ones(2)}, sharded / "two.safetensors")
    with pytest.raises(IncompleteError, match=r"two\.safetensors: holds 1 tensors") as error:
        weight_files(sharded)
    assert error.value.got == stray


@pytest.mark.parametrize("name", [WEIGHTS, "consolidated.safetensors", "LARGE.SAFETENSORS"])
def test_a_weight_file_that_would_not_be_loaded_is_refused(sharded: Path, name: str) -> None:
    save_file({"w": torch.zeros(1)}, sharded / name)
    with pytest.raises(IncompleteError, match="would not be loaded") as error:
        weight_files(sharded)
    assert error.value.where == name


def test_shards_beside_a_single_file_that_hides_them_are_refused(sharded: Path) -> None:
    (sharded / "two.safetensors").rename(sharded / WEIGHTS)
    write_index(sharded, a="one.safetensors", b="one.safetensors", c=WEIGHTS)
    with pytest.raises(IncompleteError, match=r"one\.safetensors.*would not be loaded"):
        weight_files(sharded)


def test_weights_under_another_name_need_an_index(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(IncompleteError, match=r"model\.safetensors: 1 of 1 weight files are missing"):
        weight_files(tmp_path)


def test_hostile_names_cannot_write_to_the_terminal() -> None:
    assert name_some(["\x1b[2J", "x" * 500]) == repr("\x1b[2J") + ", '" + "x" * 116 + "..."
    assert name_some(f"t{number}" for number in range(5)) == "t0, t1, t2 and 2 more"
