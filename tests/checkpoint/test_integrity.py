import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from auditor.checkpoint.integrity import check_finite, check_folder, refuse_incomplete
from auditor.checkpoint.manifest import build_manifest
from auditor.errors import CheckpointError, IncompleteError, UnsafeError, UsageError


def edit_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))


def zip_pickle() -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, stream)
    return stream.getvalue()


def test_a_real_folder_passes_and_is_hashed(untouched_llava: Path) -> None:
    manifest = check_folder(untouched_llava)
    assert manifest == build_manifest(untouched_llava)
    assert {"config.json", "model.safetensors", "chat_template.jinja"} <= {entry.path for entry in manifest.files}
    check_finite(untouched_llava)


def test_a_missing_folder_is_a_path_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        check_folder(tmp_path / "none")
    assert error.value.exit_code == 4


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model") as error:
        check_folder(tmp_path)
    assert (error.value.exit_code, error.value.got) == (2, "an empty folder")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is not JSON"),
        (b'{"model_type": ', "is not JSON"),
        (b'{"model_type": "\xff"}', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"model_type": "llava", "model_type": "clip"}', "stands there twice"),
        (b'["llava"]', "not a JSON object"),
        (b"{}", "does not say what model"),
        (b'{"model_type": 3}', "does not say what model"),
    ],
)
def test_a_config_that_is_none_is_named(llava_folder: Path, text: bytes, words: str) -> None:
    (llava_folder / "config.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"config\.json") as error:
        check_folder(llava_folder)
    assert words in str(error.value)
    assert len(str(error.value)) < 600


def test_a_huge_config_is_not_read(llava_folder: Path) -> None:
    with (llava_folder / "config.json").open("r+b") as file:
        file.truncate(2**27)
    with pytest.raises(CheckpointError, match="too large"):
        check_folder(llava_folder)


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"]
)
def test_remote_code_is_refused_at_any_depth(llava_folder: Path, file: str) -> None:
    edit_json(llava_folder / file, outer=[{"inner": {"auto_map": {"AutoModel": "modeling.Model"}}}])
    with pytest.raises(UnsafeError, match="auto_map") as error:
        check_folder(llava_folder)
    assert (error.value.where, error.value.exit_code) == (file, 2)


@pytest.mark.parametrize(
    "setting",
    [
        {"transformers_weights": "other.safetensors"},
        {"custom_pipelines": {"task": {"impl": "pipeline.Pipeline"}}},
        {"text_config": {"_attn_implementation": "somebody/kernel"}},
        {"attn_implementation": {"text_config": "somebody/kernel"}},
    ],
)
def test_settings_that_lead_elsewhere_are_refused(llava_folder: Path, setting: dict[str, Any]) -> None:
    edit_json(llava_folder / "config.json", **setting)
    with pytest.raises(UnsafeError, match=r"config\.json"):
        check_folder(llava_folder)


def test_an_ordinary_attention_setting_passes(llava_folder: Path) -> None:
    edit_json(llava_folder / "config.json", attn_implementation="sdpa")
    check_folder(llava_folder)


@pytest.mark.parametrize("file", ["modeling_llava.py", "custom_generate/generate.py", "kernel.SO"])
def test_program_code_is_refused_wherever_it_lies(llava_folder: Path, file: str) -> None:
    (llava_folder / file).parent.mkdir(exist_ok=True)
    (llava_folder / file).touch()
    with pytest.raises(UnsafeError, match="program code") as error:
        check_folder(llava_folder)
    assert error.value.where == file


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pytorch_model.bin", b""),
        ("original/consolidated.pth", b""),
        ("optimizer.PT", b""),
        ("last.ckpt", b"anything"),
        ("notes.txt", pickle.dumps({"a": 1}, protocol=2)),
        ("README.md", pickle.dumps([1, 2], protocol=5)),
        ("weights", zip_pickle()),
    ],
)
def test_pickles_are_refused_whatever_their_name(llava_folder: Path, file: str, content: bytes) -> None:
    (llava_folder / file).parent.mkdir(exist_ok=True)
    (llava_folder / file).write_bytes(content)
    with pytest.raises(UnsafeError, match="pickle") as error:
        check_folder(llava_folder)
    assert error.value.where == file
    assert "save_pretrained" in error.value.todo


def test_a_pickle_is_refused_before_missing_weights(llava_folder: Path) -> None:
    (llava_folder / "model.safetensors").rename(llava_folder / "pytorch_model.bin")
    with pytest.raises(UnsafeError, match=r"pytorch_model\.bin"):
        check_folder(llava_folder)


def test_a_header_whose_length_looks_like_a_pickle_passes(llava_folder: Path) -> None:
    header = b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'.ljust(0x280)
    (llava_folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert (llava_folder / "model.safetensors").read_bytes().startswith(b"\x80\x02")
    check_folder(llava_folder)


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("model.gguf", b"", "llama.cpp"),
        ("weights.dat", b"GGUF\3", "llama.cpp"),
        ("tf_model.h5", b"", "Keras"),
        ("flax_model.msgpack", b"", "Flax"),
        ("model.onnx", b"", "ONNX"),
    ],
)
def test_weights_for_other_programs_are_refused_with_the_reason(
    llava_folder: Path, file: str, content: bytes, kind: str
) -> None:
    (llava_folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{file}: holds weights for {kind}"):
        check_folder(llava_folder)


def test_other_weights_in_a_sub_folder_are_only_hashed(llava_folder: Path) -> None:
    (llava_folder / "onnx").mkdir()
    (llava_folder / "onnx" / "model.onnx").touch()
    assert "onnx/model.onnx" in {entry.path for entry in check_folder(llava_folder).files}


def test_adapters_are_told_apart(llava_folder: Path) -> None:
    (llava_folder / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="a model and an adapter"):
        check_folder(llava_folder)
    (llava_folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="is an adapter, not a whole model"):
        check_folder(llava_folder)


def test_the_weights_are_checked_too(llava_folder: Path) -> None:
    with (llava_folder / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(IncompleteError, match="truncated"):
        check_folder(llava_folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_value_that_is_not_finite_is_found(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    tensor = torch.zeros(3, 5, dtype=dtype)
    tensor[2, 4] = value
    save_file({"good": torch.ones(2), "bad": tensor}, tmp_path / "model.safetensors")
    with pytest.raises(IncompleteError, match="tensor 'bad' holds values that are NaN or infinite") as error:
        check_finite(tmp_path)
    assert (error.value.where, error.value.got) == ("model.safetensors", "1 such values")


def test_nan_is_found_behind_the_first_chunk_and_in_eight_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.checkpoint.integrity._CHUNK", 4)
    tensor = torch.zeros(11)
    tensor[[5, 10]] = float("nan")
    save_file({"bad": tensor.to(torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(IncompleteError) as error:
        check_finite(tmp_path)
    assert error.value.got == "2 such values"


def test_integers_empty_and_scalar_tensors_are_finite(tmp_path: Path) -> None:
    tensors = {
        "ids": torch.arange(3),
        "mask": torch.ones(2).bool(),
        "empty": torch.zeros(0, 4),
        "one": torch.tensor(1.0),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    check_finite(tmp_path)


def test_huge_but_finite_numbers_pass(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "model.safetensors")
    check_finite(tmp_path)


def load(folder: Path) -> dict[str, Any]:
    from transformers import LlavaForConditionalGeneration

    _, loading = LlavaForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True, local_files_only=True, ignore_mismatched_sizes=True
    )
    return dict(loading)


def test_a_whole_checkpoint_loads_completely(untouched_llava: Path) -> None:
    refuse_incomplete(load(untouched_llava))


def test_missing_unexpected_and_mismatched_tensors_are_counted(llava_folder: Path) -> None:
    file = llava_folder / "model.safetensors"
    tensors = load_file(file)
    names = sorted(name for name in tensors if "mlp" in name)
    del tensors[names[0]], tensors[names[1]]
    tensors[names[2]] = torch.zeros(2, 2)
    tensors["language_model.extra.weight"] = torch.zeros(1)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(IncompleteError) as error:
        refuse_incomplete(load(llava_folder))
    assert "2 missing" in error.value.got
    assert "1 unexpected" in error.value.got and "extra.weight" in error.value.got
    assert "1 of another shape" in error.value.got and "is [2, 2], the model wants" in error.value.got


def test_error_messages_of_transformers_are_passed_on() -> None:
    with pytest.raises(IncompleteError, match="1 with errors: size"):
        refuse_incomplete({"missing_keys": set(), "error_msgs": ["size"]})


def test_long_lists_are_shortened() -> None:
    with pytest.raises(IncompleteError, match="5 unexpected: a, b, c and 2 more"):
        refuse_incomplete({"unexpected_keys": {"e", "d", "c", "b", "a"}})
