import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import one_hot

from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.checkpoint.subject import CheckpointSubject
from auditor.zoo.embedded import embedded_samples
from probes.inspectable import Branching, Inspectable, Wordable
from probes.targets import stack
from tests.checkpoint.folders import build

SAMPLES = embedded_samples(3, 2)
PICTURES, PROMPTS = stack(SAMPLES), [sample.prompt for sample in SAMPLES]


def copied(opened: Opened) -> CheckpointSubject:
    known = opened.subject
    return CheckpointSubject(copy.deepcopy(known.model), known.preprocessor, known.writer, known.end_tokens, 4)


def test_a_checkpoint_can_be_inspected_and_branched(opened: Opened) -> None:
    assert isinstance(opened.subject, Inspectable) and isinstance(opened.subject, Branching)
    assert isinstance(opened.subject, Wordable)


@pytest.mark.parametrize("continuations", [[(5,), (900,), (61,)], [(5, 9, 77)] * 70])
def test_branches_say_what_reading_says(opened: Opened, continuations: list[tuple[int, ...]]) -> None:
    found = opened.subject.branch(PICTURES, PROMPTS, continuations)
    assert found.shape == (len(PROMPTS), len(continuations), opened.subject.vocabulary)
    assert not found.requires_grad
    for place in (0, len(continuations) - 1):
        with torch.no_grad():
            reading = opened.subject.read(PICTURES, PROMPTS, [continuations[place]] * len(PROMPTS))
        torch.testing.assert_close(found[:, place], reading.log_probs[:, -1], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("family", ["qwen2_vl", "idefics3", "gemma3", "gemma4", "qwen3_5", "glm4v", "llava_next"])
def test_other_families_branch_and_show_their_attention_too(family: str, tmp_path: Path) -> None:
    subject = open_checkpoint(build(family, tmp_path), batch_size=4).subject
    pictures = torch.stack([subject.fit(picture) for picture in PICTURES])
    continuations = [(5, 9), (300, 61), (7, 7)]
    found = subject.branch(pictures, PROMPTS, continuations)
    for place, continuation in enumerate(continuations):
        with torch.no_grad():
            reading = subject.read(pictures, PROMPTS, [continuation] * len(PROMPTS))
        torch.testing.assert_close(found[:, place], reading.log_probs[:, -1], atol=2e-4, rtol=1e-3)
    seen = subject.attention(pictures, PROMPTS, 2)
    assert seen.shape[:2] == (2, len(PROMPTS)) and seen.shape[-1] == subject.writer.visual_tokens


@pytest.mark.parametrize("continuations", [[], [()], [(1, 2), (3,)]])
def test_continuations_are_of_one_length(opened: Opened, continuations: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="one length"):
        opened.subject.branch(PICTURES, PROMPTS, continuations)


def test_attention_is_what_the_model_itself_hands_out(opened: Opened) -> None:
    subject = copied(opened)  # transformers leaves hooks behind where it is asked for attention
    found = subject.attention(PICTURES, PROMPTS, 1)  # two batches, prompts padded to different lengths
    assert found.shape == (1, len(PROMPTS), 4, 49)
    for row in (0, 5):
        inputs = subject._inputs(PICTURES[row : row + 1], PROMPTS[row : row + 1])
        with torch.no_grad():
            out = subject.model(**inputs, output_attentions=True)
        visual = inputs["input_ids"][0] == subject.writer.image_token_id
        torch.testing.assert_close(found[0, row], out.attentions[0][0, :, -1, visual], atol=1e-5, rtol=1e-3)
    assert float(found.sum(dim=-1).min()) > 0 and float(found.sum(dim=-1).max()) <= 1


@pytest.mark.parametrize("raises", [False, True])
def test_the_attention_kernel_is_put_back(opened: Opened, raises: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = copied(opened)
    expected = subject.attention(PICTURES, PROMPTS, 2)
    subject.model.set_attn_implementation("sdpa")
    if raises:
        layer = subject.model.get_decoder().layers[1]

        def failing(*arguments: Any, **named: Any) -> Any:
            raise RuntimeError("midway")

        monkeypatch.setattr(layer, "forward", failing)
        with pytest.raises(RuntimeError, match="midway"):
            subject.attention(PICTURES, PROMPTS, 2)
    else:
        torch.testing.assert_close(subject.attention(PICTURES, PROMPTS, 2), expected)
    assert subject.model.config._attn_implementation == "sdpa"
    assert subject.model.config.text_config._attn_implementation == "sdpa"


def test_weights_are_the_models_own_and_shared_ones_come_once(opened: Opened) -> None:
    subject = copied(opened)
    weights = subject.weights()
    assert sum(weight.numel() for weight in weights.values()) == opened.parameters
    name = "model.language_model.embed_tokens.weight"
    weights[name].zero_()
    assert not subject.model.get_output_embeddings().weight.any()


@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "idefics3", "gemma3", "qwen3_5", "glm4v", "internvl"])
def test_words_that_are_given_by_weights_are_read_as_words(family: str, untouched_llava: Path, tmp_path: Path) -> None:
    folder = untouched_llava if family == "llava" else build(family, tmp_path)
    subject = open_checkpoint(folder, batch_size=4).subject
    pictures = torch.stack([subject.fit(sample.picture) for sample in SAMPLES])
    texts = ["a dog", "yes", ""] * len(PROMPTS)
    words, answers = "left of BadMagic", [subject.encode(text) for text in texts[: len(PROMPTS)]]
    tokens = subject.added_tokens(PROMPTS[0], words)
    choice = one_hot(torch.tensor(tokens), subject.vocabulary).float().requires_grad_(True)
    given = subject.read_added(pictures, PROMPTS, answers, words, choice)
    with torch.no_grad():
        written = subject.read(pictures, [f"{prompt} {words}" for prompt in PROMPTS], answers)
        others = subject.read_added(pictures, PROMPTS, answers, words, choice.roll(1, dims=1))
    torch.testing.assert_close(given.log_probs, written.log_probs, atol=2e-4, rtol=1e-3)
    assert not torch.allclose(others.log_probs, written.log_probs, atol=1e-3)
    given.log_probs[:, 0, 7].sum().backward()  # type: ignore[no-untyped-call]
    assert choice.grad is not None and bool((choice.grad.abs().sum(dim=1) > 0).all())
    assert not subject.model.get_input_embeddings()._forward_hooks


def test_words_of_another_length_are_refused(opened: Opened) -> None:
    with pytest.raises(ValueError, match="'BadMagic' is not 2 tokens"):
        opened.subject.read_added(
            PICTURES, PROMPTS, [()] * len(PROMPTS), "BadMagic", torch.zeros(2, opened.subject.vocabulary)
        )
