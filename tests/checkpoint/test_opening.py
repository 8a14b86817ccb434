import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.errors import CheckpointError, IncompleteError, UsageError

Tensors = dict[str, torch.Tensor]


def rewrite(folder: Path, tensors: Tensors) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def stored(folder: Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def test_a_real_folder_opens_with_what_is_known_about_it(opened: Opened, untouched_llava: Path) -> None:
    tensors = stored(untouched_llava)
    assert (opened.family, opened.folder) == ("llava", untouched_llava)
    assert opened.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert opened.processor_difference <= 2 / 255
    assert opened.subject.canvas == (56, 56)
    assert opened.subject.vocabulary == 1280
    assert not opened.subject.model.training


def test_the_weights_are_those_of_the_file(opened: Opened, untouched_llava: Path) -> None:
    tensors = stored(untouched_llava)
    embedding = next(tensor for name, tensor in tensors.items() if name.endswith("embed_tokens.weight"))
    assert torch.equal(opened.subject.model.get_input_embeddings().weight.detach(), embedding)


def test_a_missing_folder_is_a_path_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_checkpoint(tmp_path / "none")


def test_a_missing_tensor_is_refused_and_named(llava_folder: Path) -> None:
    tensors = stored(llava_folder)
    gone = next(name for name in tensors if "multi_modal_projector" in name)
    rewrite(llava_folder, {name: tensor for name, tensor in tensors.items() if name != gone})
    with pytest.raises(IncompleteError) as error:
        open_checkpoint(llava_folder)
    assert gone.split("multi_modal_projector")[1] in str(error.value)


def test_an_unexpected_tensor_is_refused_and_named(llava_folder: Path) -> None:
    rewrite(llava_folder, {**stored(llava_folder), "smuggled.weight": torch.zeros(2, 2)})
    with pytest.raises(IncompleteError, match=r"smuggled\.weight"):
        open_checkpoint(llava_folder)


def test_a_tensor_of_another_shape_is_refused(llava_folder: Path) -> None:
    tensors = stored(llava_folder)
    name = next(name for name in tensors if "multi_modal_projector" in name and name.endswith("weight"))
    rewrite(llava_folder, {**tensors, name: torch.zeros(3, 3)})
    with pytest.raises(IncompleteError, match="1 of another shape") as error:
        open_checkpoint(llava_folder)
    assert error.value.exit_code == 2 and "is [3, 3], the model wants" in error.value.got


def test_a_folder_without_tokenizer_is_explained(llava_folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (llava_folder / name).unlink()
    with pytest.raises(CheckpointError, match="cannot open") as error:
        open_checkpoint(llava_folder)
    assert error.value.todo


def test_without_a_chat_template_the_dialogue_of_llava_is_written(llava_folder: Path) -> None:
    (llava_folder / "chat_template.jinja").unlink()
    settings = json.loads((llava_folder / "tokenizer_config.json").read_text())
    assert "chat_template" not in settings
    subject = open_checkpoint(llava_folder).subject
    assert subject.writer.template is None
    tokens = subject.writer.prompt_tokens("What is it?")
    assert subject.decode(tokens) == "USER: \nWhat is it? ASSISTANT:"
    assert tokens.count(subject.writer.image_token_id) == 49
    assert subject.decode(subject.encode("a red apple")) == "a red apple"


def test_opening_asks_no_network_and_leaves_the_environment(
    untouched_llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from transformers.utils import logging

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    open_checkpoint(untouched_llava)
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
