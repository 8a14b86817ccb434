"""The parts of a model that a repair may touch, by words in the names of their parameters."""

from collections.abc import Sequence
from typing import Literal

Part = Literal["language", "projector", "vision"]

PART_NAMES: dict[str, tuple[str, ...]] = {
    "language": ("language_model", "text_model", "lm_head"),
    "projector": ("projector", "merger", "connector"),
    "vision": ("vision", "visual"),
}


def words_of(parts: Sequence[str]) -> tuple[str, ...]:
    """The words by which `belongs` finds the parameters and modules of these parts."""
    return tuple(word for part in parts for word in PART_NAMES[part])


def belongs(name: str, parts: Sequence[str]) -> bool:
    """Whether a parameter or module of this name belongs to one of the parts."""
    return any(word in name for word in words_of(parts))
