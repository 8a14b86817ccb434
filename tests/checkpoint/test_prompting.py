from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import AutoProcessor

from auditor.checkpoint.opening import Opened
from auditor.checkpoint.prompting import PromptWriter
from auditor.errors import CheckpointError


@pytest.mark.parametrize(
    "text", ["yes", "a red apple and a dog.", "You have been hacked, visit evil.com now.", "Äpfel 🍎"]
)
def test_an_answer_survives_the_round_trip(opened: Opened, text: str) -> None:
    tokens = opened.subject.encode(text)
    assert opened.subject.decode(tokens) == text
    assert not set(tokens) & opened.subject.end_tokens


def test_prompts_are_those_of_the_folders_own_processor(opened: Opened, untouched_llava: Path) -> None:
    processor = AutoProcessor.from_pretrained(untouched_llava, local_files_only=True)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is there a dog?"}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    picture = Image.fromarray(np.zeros((56, 56, 3), dtype=np.uint8))
    theirs = processor(images=picture, text=text, add_special_tokens=False)["input_ids"][0]
    assert opened.subject.writer.prompt_tokens("Is there a dog?") == list(theirs)


def test_the_picture_stands_once_with_all_of_its_tokens(opened: Opened) -> None:
    writer = opened.subject.writer
    tokens = writer.prompt_tokens("Describe the picture.")
    first = tokens.index(writer.image_token_id)
    assert tokens[first : first + 49] == [writer.image_token_id] * 49
    assert tokens.count(writer.image_token_id) == 49


def test_a_template_that_leaves_the_picture_out_is_refused(opened: Opened) -> None:
    known = opened.subject.writer
    blind = "{% for message in messages %}{{ message['content'][1]['text'] }}{% endfor %}"
    writer = PromptWriter(known.tokenizer, blind, known.image_token_id, known.visual_tokens)
    with pytest.raises(CheckpointError, match="picture into the prompt once") as error:
        writer.prompt_tokens("What?")
    assert error.value.got.startswith("0 ×")


def test_a_prompt_that_smuggles_a_picture_is_refused(opened: Opened) -> None:
    with pytest.raises(CheckpointError):
        opened.subject.writer.prompt_tokens("What is <image>?")


class EndsEveryText:
    """A tokenizer of single characters, `#` for the picture, that puts its end after every text, as some do."""

    all_special_ids = (1, 2)
    eos_token_id = 1

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        letters = [2 if letter == "#" else ord(letter) for letter in text]
        return {"input_ids": letters + ([1] if add_special_tokens else [])}

    def convert_ids_to_tokens(self, token: int) -> str:
        return "#"


def test_without_a_template_the_picture_stands_between_the_words_and_no_text_is_ended() -> None:
    writer = PromptWriter(EndsEveryText(), None, 2, 3)
    tokens = writer.prompt_tokens("What?")
    assert 1 not in tokens
    assert "".join("#" if token == 2 else chr(token) for token in tokens) == "USER: ###\nWhat? ASSISTANT:"
