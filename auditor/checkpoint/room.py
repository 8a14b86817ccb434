"""How many pictures a reading with a gradient may hold at once on a CPU, where nobody says that memory is short."""

from typing import Any

ROOM = 4 * 2**30
"""Bytes for what a reading keeps until its gradient is known."""
KEPT_BY_LAYERS, KEPT_BY_LOGITS = 48, 20
"""Bytes a token and unit of width of each layer of the language model, and a token of the answer and of the vocabulary:
measured in bfloat16 products with SmolLM2-135M, eager attention."""
PROMPT, ANSWER = 32, 24
"""Tokens around a picture, and those of a long answer."""


def rows_with_room(model: Any, visual_tokens: int) -> int:
    """At least one; far more than a search asks for where the language model is small."""
    text = model.config.get_text_config()
    layers = (visual_tokens + PROMPT + ANSWER) * text.num_hidden_layers * text.hidden_size * KEPT_BY_LAYERS
    return max(1, int(ROOM // (layers + ANSWER * text.vocab_size * KEPT_BY_LOGITS)))
