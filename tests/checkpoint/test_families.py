"""One contract for every family that opens: it answers, is differentiable, and is what transformers makes of it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    Gemma3Processor,
    Gemma4Processor,
    Idefics3Processor,
    InternVLProcessor,
    LlavaNextProcessor,
    Qwen2VLProcessor,
)

from auditor.checkpoint.families import FAMILIES
from auditor.checkpoint.families.comparing import largest_difference
from auditor.checkpoint.families.idefics3 import first_size
from auditor.checkpoint.families.qwen2_vl import square_side
from auditor.checkpoint.opening import Opened, open_checkpoint
from auditor.checkpoint.preprocessing import TOLERANCE
from auditor.errors import CheckpointError, IncompleteError
from tests.checkpoint.folders import BUILDERS, build

PROMPTS = ["what do you see?", "how many things are there on the left of the snail?", "what?"]
GLM = ("glm4v", "glm4v_moe", "glm46v")
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", *GLM)
IDEFICS = ("idefics3", "smolvlm")
TILED = ("llava_next", "llava_onevision")
NOTED = (*QWEN, *TILED, "smolvlm", "internvl", "gemma4", "mistral3", "llava with Pixtral")
"""Families that give pictures in another way than their processors by default, and say so."""
ODD_SIZES = [(61, 83), (30, 45), (90, 90), (143, 31), (7, 9), (57, 201)]
STEPS = 5


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(family, tmp_path_factory.mktemp(family))


@pytest.fixture(scope="module")
def known(folder: Path) -> Opened:
    return open_checkpoint(folder, batch_size=4)


def pictures(known: Opened) -> Tensor:
    pixels = np.random.default_rng(3).integers(0, 256, (len(PROMPTS), *known.subject.canvas, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def as_image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def own_inputs(folder: Path, known: Opened, picture: Tensor, prompt: str) -> dict[str, Tensor]:
    """What the family's own processor in transformers makes of a picture and a prompt, written by its own code.

    The picture is of the canvas's size, so that Idefics3's first resize, which would enlarge it, has nothing to do.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    text = tokenizer.apply_chat_template(
        messages, chat_template=known.subject.writer.template, tokenize=False, add_generation_prompt=True
    )
    if known.family in IDEFICS:
        whole = Idefics3Processor(processor, tokenizer, image_seq_len=known.subject.writer.visual_tokens)
        settings = {"do_image_splitting": False, "size": {"longest_edge": 56}, "return_tensors": "pt"}
        made = whole(images=as_image(picture), text=text, add_special_tokens=False, **settings)
        return {name: made[name] for name in ("input_ids", "attention_mask", "pixel_values", "pixel_attention_mask")}
    seen = processor(images=[as_image(picture)], return_tensors="pt")
    if known.family in QWEN:  # the whole processor cannot be built without torchvision, but this is its code
        itself: Any = SimpleNamespace(image_processor=processor, image_token="<|image_pad|>")
        expanded = Qwen2VLProcessor.replace_image_token(itself, seen, 0)
        ids = tokenizer(text.replace("<|image_pad|>", expanded), add_special_tokens=False, return_tensors="pt")
        return {**ids, **seen, "mm_token_type_ids": (ids["input_ids"] == tokenizer.image_token_id).int()}
    if known.family == "gemma4":
        itself = SimpleNamespace(boi_token="<|image>", image_token="<|image|>", eoi_token="<image|>")
        expanded = Gemma4Processor.replace_image_token(itself, seen, 0)
        ids = tokenizer(text.replace("<|image|>", expanded), add_special_tokens=False, return_tensors="pt")
        types = (ids["input_ids"] == tokenizer.image_token_id).int()
        pictured = {name: seen[name] for name in ("pixel_values", "image_position_ids")}
        return {**ids, **pictured, "mm_token_type_ids": types}
    if known.family == "gemma3":
        whole = Gemma3Processor(processor, tokenizer, image_seq_length=known.subject.writer.visual_tokens)
        return dict(whole(images=as_image(picture), text=text, add_special_tokens=False, return_tensors="pt"))
    if known.family == "llava_next":
        whole = LlavaNextProcessor(processor, tokenizer, 7, "default", num_additional_image_tokens=1)
        return dict(whole(images=as_image(picture), text=text, add_special_tokens=False, return_tensors="pt"))
    if "IMG_BREAK" in str(tokenizer.special_tokens_map):  # its processor wants torchvision; this is what it writes
        side = round(known.subject.writer.visual_tokens**0.5)
        text = text.replace(
            "[IMG]", "".join([*["[IMG]" * side + "[IMG_BREAK]"] * (side - 1), "[IMG]" * side, "[IMG_END]"])
        )
        return {**tokenizer(text, add_special_tokens=False, return_tensors="pt"), **seen}
    mark, expanded = "<image>", "<image>" * known.subject.writer.visual_tokens
    if known.family == "internvl":
        seen = processor(images=[as_image(picture)], crop_to_patches=False, return_tensors="pt")
        mark = "<IMG_CONTEXT>"
        marks = {"start_image_token": "<img>", "image_token": mark, "end_image_token": "</img>"}
        itself = SimpleNamespace(**marks, image_seq_length=known.subject.writer.visual_tokens)
        expanded = InternVLProcessor.replace_image_token(itself, seen, 0)
    text = text.replace(mark, expanded)
    pictured = {name: value for name, value in seen.items() if name in ("pixel_values", "image_sizes")}
    return {**tokenizer(text, add_special_tokens=False, return_tensors="pt"), **pictured}


def test_every_family_with_a_file_of_its_own_is_here() -> None:
    assert set(FAMILIES) <= set(BUILDERS)


def test_it_opens_and_says_what_it_is(known: Opened, family: str) -> None:
    assert known.family == family.partition(" ")[0]
    assert known.processor_difference <= TOLERANCE
    assert known.subject.canvas == ((64, 64) if family == "gemma4" else (56, 56))
    assert bool(known.notes) == (family in NOTED)


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_pictures_are_those_of_the_folders_own_processor(known: Opened, folder: Path, size: tuple[int, int]) -> None:
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    assert largest_difference(known.subject.preprocessor, processor, *size) <= TOLERANCE


def test_it_answers_alone_as_in_a_batch(known: Opened) -> None:
    together = known.subject.respond(pictures(known), PROMPTS, STEPS)
    alone = [
        known.subject.respond(picture[None], [prompt], STEPS)[0]
        for picture, prompt in zip(pictures(known), PROMPTS, strict=True)
    ]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


def test_prompts_are_those_of_the_folders_own_processor(known: Opened, folder: Path) -> None:
    theirs = own_inputs(folder, known, pictures(known)[0], PROMPTS[1])["input_ids"][0]
    assert known.subject.writer.prompt_tokens(PROMPTS[1]) == theirs.tolist()


def test_answers_are_those_of_transformers_own_generate(known: Opened, folder: Path) -> None:
    answers = known.subject.respond(pictures(known), PROMPTS, STEPS)  # of prompts of three lengths, padded on the left
    for number in (0, 2):
        inputs = own_inputs(folder, known, pictures(known)[number], PROMPTS[number])
        said = known.subject.model.generate(**inputs, do_sample=False, max_new_tokens=STEPS)
        own = said[0, inputs["input_ids"].shape[1] :].tolist()
        assert list(answers[number].tokens) == own[: len(answers[number].tokens)]


def test_readings_are_those_of_a_plain_forward(known: Opened, folder: Path) -> None:
    subject = known.subject
    answers = [subject.encode(text) for text in ("a snail", "", "a red apple left of a snail")]
    with torch.no_grad():
        reading = subject.read(pictures(known), PROMPTS, answers)
    assert reading.valid.sum(dim=1).tolist() == [len(answer) + 1 for answer in answers]
    for number, answer in enumerate(answers):
        inputs = own_inputs(folder, known, pictures(known)[number], PROMPTS[number])
        ids = torch.cat([inputs["input_ids"], torch.tensor([answer], dtype=torch.long)], dim=1)
        types = (
            {"mm_token_type_ids": (ids == subject.writer.image_token_id).int()} if "mm_token_type_ids" in inputs else {}
        )
        given = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids), **types}
        with torch.no_grad():
            plain = subject.model(**given).logits[0, -(len(answer) + 1) :].float().log_softmax(-1)
        torch.testing.assert_close(reading.log_probs[number, : len(answer) + 1], plain, atol=2e-4, rtol=1e-3)


def test_the_gradient_reaches_every_part_of_the_picture(known: Opened) -> None:
    given = pictures(known).requires_grad_(True)
    reading = known.subject.read(given, PROMPTS, [(5, 6), (7,), ()])
    reading.log_probs[:, 0, 7].sum().backward()
    assert given.grad is not None
    reached = (given.grad.abs().sum(dim=1) > 0).float()  # (batch, height, width)
    assert float(reached.mean()) > 0.95


def test_fitting_is_differentiable(known: Opened) -> None:
    picture = torch.rand(3, 61, 83, generator=torch.Generator().manual_seed(0)).mul(0.5).add(0.25).requires_grad_(True)
    fitted = known.subject.fit(picture)
    assert fitted.shape == (3, *known.subject.canvas)
    fitted.sum().backward()
    assert picture.grad is not None and float((picture.grad.abs().sum(dim=0) > 0).float().mean()) > 0.7


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_picture_of_one_colour_is_a_picture(known: Opened, grey: float) -> None:
    blank = torch.full((2, 3, *known.subject.canvas), grey)
    assert len(known.subject.respond(blank, PROMPTS[:2], 2)) == 2
    known.subject.read(blank, PROMPTS[:2], [(5,), (6, 7)])


def test_a_missing_tensor_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    gone = next(name for name in tensors if "mlp" in name)
    save_file({n: t for n, t in tensors.items() if n != gone}, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(IncompleteError):
        open_checkpoint(copy)


def rewrite_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [
        (3136, 12845056, 448),  # Qwen2-VL-7B-Instruct
        (3136, 3136, 56),
        (3136, 100352, 308),
        (1003520, 12845056, 1008),
        (200704, 200704, 448),
    ],
)
def test_the_canvas_is_448_pixels_within_the_processors_limits(low: int, high: int, side: int) -> None:
    assert square_side(28, low, high) == side
    assert low <= side * side <= high


def test_limits_that_no_square_meets_are_refused(tmp_path: Path) -> None:
    build("qwen2_vl", tmp_path)
    rewrite_json(tmp_path / "preprocessor_config.json", size={"shortest_edge": 3000, "longest_edge": 3100})
    with pytest.raises(CheckpointError, match="no square picture"):
        open_checkpoint(tmp_path)


def test_a_square_picture_is_what_qwens_processor_makes_of_it_unasked(tmp_path: Path) -> None:
    door = open_checkpoint(build("qwen2_vl", tmp_path)).subject.preprocessor
    processor: Any = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    picture = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    theirs = processor(images=[Image.fromarray(picture)], return_tensors="pt")
    ours = door.inputs(door.fit(torch.from_numpy(picture).permute(2, 0, 1).float() / 255)[None])
    torch.testing.assert_close(ours["pixel_values"], theirs["pixel_values"], atol=1e-5, rtol=0)
    assert ours["image_grid_thw"].tolist() == theirs["image_grid_thw"].tolist()


@pytest.mark.parametrize("size", [(61, 83), (83, 61), (5, 400), (90, 90)])
def test_idefics3_resizes_first_as_its_processor_does(size: tuple[int, int]) -> None:
    from transformers.models.idefics3.image_processing_pil_idefics3 import get_resize_output_image_size

    assert first_size(*size, 56) == get_resize_output_image_size(np.zeros((3, *size)), 56)
    assert first_size(*size, 5000) == get_resize_output_image_size(np.zeros((3, *size)), 5000)


def test_grids_of_tiles_without_a_square_are_refused(tmp_path: Path) -> None:
    build("llava_next", tmp_path)
    rewrite_json(tmp_path / "preprocessor_config.json", image_grid_pinpoints=[[28, 56], [56, 28]])
    with pytest.raises(CheckpointError, match="no grid of tiles is a square") as error:
        open_checkpoint(tmp_path)
    assert "[[28, 56], [56, 28]]" in error.value.got


def test_a_folder_that_cuts_long_pictures_is_opened_without_and_says_so(tmp_path: Path) -> None:
    build("gemma3", tmp_path)
    rewrite_json(tmp_path / "preprocessor_config.json", do_pan_and_scan=True)
    opened = open_checkpoint(tmp_path)
    assert opened.notes == ("Pan and scan is off: a picture is given once, as a square.",)


def test_a_folder_that_splits_pictures_is_opened_without_and_says_so(tmp_path: Path) -> None:
    opened = open_checkpoint(build("smolvlm", tmp_path))
    assert "splitting is off" in opened.notes[0]


def test_a_chat_template_in_its_former_file_is_read(tmp_path: Path) -> None:
    build("qwen2_vl", tmp_path)
    expected = open_checkpoint(tmp_path).subject.writer.prompt_tokens("what?")
    template = (tmp_path / "chat_template.jinja").read_text()
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert open_checkpoint(tmp_path).subject.writer.prompt_tokens("what?") == expected
