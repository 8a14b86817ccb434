"""The sizes that the small models share: a text model and a tower of four layers, 128 wide, four heads."""

from typing import Any

from auditor.zoo.scenes import SIDE

WIDTH, HEADS = 128, 4


def special_ids(tokenizer: Any) -> dict[str, Any]:
    """Where a dialogue begins, where an answer ends, and what fills up a batch."""
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}


def text_sizes(tokens: int) -> dict[str, Any]:
    """Settings of a text model with `tokens` embeddings, tied to its head."""
    return {
        "vocab_size": tokens,
        "hidden_size": WIDTH,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }


def tower_sizes(patch: int) -> dict[str, Any]:
    """Settings of a tower of CLIP's or SigLIP's kind that looks at patches of `patch` pixels."""
    return {
        "hidden_size": WIDTH,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": HEADS,
        "image_size": SIDE,
        "patch_size": patch,
    }
