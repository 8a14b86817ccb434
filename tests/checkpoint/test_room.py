from types import SimpleNamespace

import pytest

from auditor.checkpoint.opening import Opened
from auditor.checkpoint.room import rows_with_room
from probes.ascent import Climb


def model_of(width: int, layers: int, vocabulary: int) -> SimpleNamespace:
    text = SimpleNamespace(hidden_size=width, num_hidden_layers=layers, vocab_size=vocabulary)
    return SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))


@pytest.mark.parametrize(
    ("width", "layers", "vocabulary", "visual", "least", "most"),
    [(576, 30, 49_153, 49, 32, 48), (4096, 32, 32_064, 576, 1, 2), (8192, 80, 128_256, 5000, 1, 1)],
    ids=["SmolLM2-135M", "LLaVA-1.5-7B", "no room at all"],
)
def test_the_larger_the_model_the_fewer_pictures(
    width: int, layers: int, vocabulary: int, visual: int, least: int, most: int
) -> None:
    assert least <= rows_with_room(model_of(width, layers, vocabulary), visual) <= most


def test_a_small_model_is_not_held_back(opened: Opened) -> None:
    assert rows_with_room(opened.subject.model, opened.subject.writer.visual_tokens) > Climb(steps=1).rows
