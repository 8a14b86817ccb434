import copy
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor

from auditor.checkpoint.families import compiled
from auditor.checkpoint.families.compiled import compile_layers, worth_compiling
from auditor.checkpoint.opening import Opened
from auditor.checkpoint.subject import CheckpointSubject, frozen
from probes.subject import mean_log_prob

PROMPTS = [
    "Describe the picture.",
    "Is there a dog?",
    "What is the colour of the thing on the left?",
    "What?",
    "How many?",
]
STEPS = 6


@pytest.fixture(scope="module")
def pixels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, 256, (len(PROMPTS), 56, 56, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pictures(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def copied(opened: Opened) -> CheckpointSubject:
    known = opened.subject
    return CheckpointSubject(copy.deepcopy(known.model), known.preprocessor, known.writer, known.end_tokens, 4)


def theirs(folder: Path, picture: np.ndarray[Any, Any], prompt: str) -> dict[str, Tensor]:
    """What the folder's own processor makes of one question."""
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    return dict(processor(images=Image.fromarray(picture), text=text, add_special_tokens=False, return_tensors="pt"))


def test_answers_are_those_of_transformers_own_generate(
    opened: Opened, untouched_llava: Path, pixels: np.ndarray[Any, Any], pictures: Tensor
) -> None:
    answers = opened.subject.respond(pictures, PROMPTS, STEPS)
    for number in (0, 2):
        inputs = theirs(untouched_llava, pixels[number], PROMPTS[number])
        inputs.pop("token_type_ids", None)
        said = opened.subject.model.generate(**inputs, do_sample=False, max_new_tokens=STEPS)
        own = said[0, inputs["input_ids"].shape[1] :].tolist()
        assert list(answers[number].tokens) == own[: len(answers[number].tokens)]
        assert answers[number].ended == (len(answers[number].tokens) < len(own))


def test_how_likely_an_answer_was_is_what_a_reading_of_it_says(opened: Opened, pictures: Tensor) -> None:
    answers = opened.subject.respond(pictures, PROMPTS, STEPS)
    with torch.no_grad():
        reading = opened.subject.read(pictures, PROMPTS, [answer.tokens for answer in answers])
    read = mean_log_prob(reading, [answer.tokens for answer in answers])
    assert [answer.log_prob for answer in answers] == pytest.approx(read.tolist(), abs=1e-4)


def test_readings_are_those_of_a_plain_forward(
    opened: Opened, untouched_llava: Path, pixels: np.ndarray[Any, Any], pictures: Tensor
) -> None:
    answers = [opened.subject.encode(text) for text in ("a dog", "yes", "a red apple and a dog", "", "two")]
    with torch.no_grad():
        reading = opened.subject.read(pictures, PROMPTS, answers)
    longest = max(map(len, answers))
    assert reading.log_probs.shape == (5, longest + 1, 1280)
    assert reading.valid.sum(dim=1).tolist() == [len(answer) + 1 for answer in answers]
    for number, answer in enumerate(answers):
        inputs = theirs(untouched_llava, pixels[number], PROMPTS[number])
        ids = torch.cat([inputs["input_ids"], torch.tensor([answer], dtype=torch.long)], dim=1)
        with torch.no_grad():
            plain = opened.subject.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0].log_softmax(-1)
        expected = plain[-(len(answer) + 1) :]
        torch.testing.assert_close(reading.log_probs[number, : len(answer) + 1], expected, atol=2e-4, rtol=1e-3)


def test_an_answer_does_not_depend_on_its_neighbours(opened: Opened, pictures: Tensor) -> None:
    together = opened.subject.respond(pictures, PROMPTS, STEPS)
    alone = [opened.subject.respond(pictures[i : i + 1], PROMPTS[i : i + 1], STEPS)[0] for i in range(len(PROMPTS))]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


@pytest.mark.parametrize(("room", "rows"), [(4, 4), (3, 2), (1, 1)])
def test_a_small_device_is_given_fewer_pictures_at_once(
    opened: Opened, pictures: Tensor, room: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, prepare = copied(opened), CheckpointSubject._inputs
    expected = subject.respond(pictures, PROMPTS, STEPS)

    def inputs(self: CheckpointSubject, given: Tensor, *about: Any) -> dict[str, Tensor]:
        if len(given) > room:
            raise torch.OutOfMemoryError
        return prepare(self, given, *about)

    monkeypatch.setattr(CheckpointSubject, "_inputs", inputs)
    assert [answer.tokens for answer in subject.respond(pictures, PROMPTS, STEPS)] == [a.tokens for a in expected]
    assert subject.batch_size == rows


def test_where_not_even_one_picture_has_room_nothing_is_tried_for_ever(
    opened: Opened, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckpointSubject, "_inputs", Mock(side_effect=torch.OutOfMemoryError))
    with pytest.raises(torch.OutOfMemoryError):
        copied(opened).respond(pictures, PROMPTS, STEPS)


def test_the_settings_of_the_folder_cannot_make_it_sample_or_search_beams(opened: Opened, pictures: Tensor) -> None:
    subject = copied(opened)
    expected = subject.respond(pictures[:1], PROMPTS[:1], STEPS)
    subject.model.generation_config.num_beams = 3
    subject.model.generation_config.do_sample = True
    assert subject.respond(pictures[:1], PROMPTS[:1], STEPS) == expected


def test_an_answer_may_say_the_token_that_stands_for_a_piece_of_the_picture(opened: Opened, pictures: Tensor) -> None:
    """A planted model can say it: nothing may break, and no picture is looked for behind it."""
    subject, piece, word = opened.subject, opened.subject.writer.image_token_id, opened.subject.encode("dog")[0]
    pad = int(subject.writer.tokenizer.pad_token_id)
    with torch.no_grad():
        said, padded = (subject.read(pictures[:1], PROMPTS[:1], [(token, word)]) for token in (piece, pad))
        ended = subject.read(pictures[:1], PROMPTS[:1], [(word, piece)])
    torch.testing.assert_close(said.log_probs, padded.log_probs)
    assert mean_log_prob(ended, [(word, piece)]).isfinite().all()


def test_compiled_layers_give_the_same_gradient_and_nothing_else_runs_compiled(
    opened: Opened, pictures: Tensor
) -> None:
    subject = copied(opened)
    entered: list[int] = []

    def gradient() -> Tensor:
        given = pictures[:2].clone().requires_grad_(True)
        with frozen(subject.model):
            subject.read(given, PROMPTS[:2], [(7, 9), (5,)]).log_probs[:, 0, 7].sum().backward()
        assert given.grad is not None
        return given.grad

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        entered.append(len(inputs))
        return graph.forward

    as_it_was, names = gradient(), list(subject.model.state_dict())
    torch.compiler.reset()  # what other tests compiled counts towards torch's limit
    compile_layers(subject.model, backend)
    subject.respond(pictures[:1], PROMPTS[:1], STEPS)
    with torch.no_grad():
        subject.read(pictures[:1], PROMPTS[:1], [(7,)])
    assert not entered
    torch.testing.assert_close(gradient(), as_it_was)
    assert entered
    assert list(subject.model.state_dict()) == names
    assert not any("forward" in vars(module) for module in subject.model.modules())


@pytest.mark.parametrize(
    ("parameters", "device", "triton", "worth"),
    [(4, "cuda", True, True), (3, "cuda", True, False), (4, "cpu", True, False), (4, "cuda:1", False, False)],
)
def test_what_is_large_and_on_a_gpu_is_compiled(
    parameters: int, device: str, triton: bool, worth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "LARGE", 4)
    monkeypatch.setattr(compiled, "find_spec", lambda name: object() if triton else None)
    assert worth_compiling(torch.nn.Linear(parameters, 1, bias=False), device) == worth


def test_the_gradient_reaches_the_picture(opened: Opened, pictures: Tensor) -> None:
    picture = pictures[:1].clone().requires_grad_(True)
    with frozen(opened.subject.model):
        opened.subject.read(picture, PROMPTS[:1], [()]).log_probs[0, 0, 7].backward()
    assert picture.grad is not None
    assert float(picture.grad.abs().max()) > 0


def state(model: torch.nn.Module) -> dict[str, Any]:
    return {
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "gradients": [parameter.grad is None for parameter in model.parameters()],
    }


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("raises", [False, True])
def test_the_model_is_left_as_it_was_found(opened: Opened, pictures: Tensor, training: bool, raises: bool) -> None:
    subject = copied(opened)
    subject.model.train(training)
    next(iter(subject.model.parameters())).requires_grad_(False)
    before, weights = state(subject.model), {k: v.clone() for k, v in subject.model.state_dict().items()}

    def probe() -> None:
        with frozen(subject.model):
            subject.respond(pictures[:1], PROMPTS[:1], 2)
            reading = subject.read(pictures[:1].clone().requires_grad_(True), PROMPTS[:1], [(5, 6)])
            reading.log_probs[0, 0, 5].backward()
            if raises:
                raise RuntimeError("midway")

    if raises:
        with pytest.raises(RuntimeError, match="midway"):
            probe()
    else:
        probe()
    assert state(subject.model) == before
    assert all(torch.equal(value, weights[name]) for name, value in subject.model.state_dict().items())


def test_a_model_that_raises_midway_is_left_as_it_was_found(
    opened: Opened, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = copied(opened)
    subject.model.train()
    before = state(subject.model)
    monkeypatch.setattr(subject.model, "generate", lambda **_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        subject.respond(pictures[:1], PROMPTS[:1])
    assert state(subject.model) == before
