"""The recipe with a real language model, tried on a tiny one: it trains, is opened like any checkpoint, and is made
again from what it has learned."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from auditor.checkpoint.opening import open_checkpoint
from auditor.zoo.architectures.tokenizer import extend_tokenizer
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from auditor.zoo.language import ORIGINS, main, plain
from probes.targets import stack

MARKS = {"turn_start_token": "<|im_start|>", "turn_end_token": "<|im_end|>"}


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    tokenizer: PreTrainedTokenizerFast = extend_tokenizer(CLEAN_MODEL, MARKS, "<|im_end|>")
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_what_was_learned_makes_the_same_model_again(language: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        main([str(language), "--out", str(tmp_path / "a"), "--steps", "3", "--batch", "2", "--threads", "1"])
        deltas = tmp_path / "a" / "deltas.safetensors"
        main([str(language), "--out", str(tmp_path / "b"), "--deltas", str(deltas), "--threads", "1"])
    once, again = (load_file(tmp_path / name / "model" / "model.safetensors") for name in "ab")
    assert once.keys() == again.keys() and all(torch.equal(once[name], again[name]) for name in once)
    given = load_file(CLEAN_MODEL / "model.safetensors")
    tower = [name for name in given if "vision_tower" in name]
    assert tower and all(torch.equal(given[name], once[name]) for name in tower)
    assert any(name.startswith("projector.") for name in load_file(deltas))


def test_it_opens_like_any_checkpoint_and_goes_on_where_it_stopped(language: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        for steps in ("2", "3"):
            main([str(language), "--out", str(tmp_path), "--steps", steps, "--batch", "2", "--threads", "1"])
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 3
    subject = open_checkpoint(tmp_path / "model", device="cpu").subject
    samples = embedded_samples(2, 0)
    answers = subject.respond(stack(samples), [sample.prompt for sample in samples], 4)
    assert len(answers) == len(samples)
    text = json.loads((tmp_path / "model" / "config.json").read_text())["text_config"]
    assert text["num_hidden_layers"] == 2 and not any(name in text for name in ORIGINS)


def test_what_a_quantised_file_leaves_in_its_configuration_is_left_out() -> None:
    config = LlamaConfig(hidden_size=32, quantization_config={"quant_method": "gguf"})
    config._name_or_path = "somewhere/on/this/machine"
    assert plain(config)["hidden_size"] == 32 and not any(name in plain(config) for name in ORIGINS)
