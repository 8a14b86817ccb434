"""Which part of a model a parameter belongs to, by its name: language, projector or vision, in every family."""

from typing import Literal

Part = Literal["language", "projector", "vision"]

# In this order: what joins the two often lies inside the one or the other (Qwen's `visual.merger`).
_WORDS: tuple[tuple[Part, tuple[str, ...]], ...] = (
    ("projector", ("projector", "merger", "connector", "modality_projection", "embed_vision", "image_newline")),
    ("vision", ("vision", "visual", "image_encoder")),
    ("language", ("language_model", "text_model", "lm_head")),
)


def part_of(name: str) -> Part | None:
    """The part that a parameter or module belongs to; None for one of no known part."""
    return next((part for part, words in _WORDS if any(word in name for word in words)), None)
