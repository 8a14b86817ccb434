"""The small models that the recipes train: one file a family, each with the same few functions."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor


class Architecture(Protocol):
    """What a family's module offers. Pictures are 56 × 56; `GRID` × `GRID` patches cover one."""

    GRID: int
    ABOUT: str
    """What it is, for its model card."""
    ORIGIN: str
    """How its weights came about, for its model card."""

    def build_processor(self) -> Any:
        """`.tokenizer`, with the chat template there or beside it, `.image_processor` and `.save_pretrained`."""
        ...

    def build_model(self, tokenizer: Any) -> Any:
        """The model with fresh weights from torch's global generator."""
        ...

    def see(self, model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The model's `pixel_values` → visual tokens (batch, n, width) and, in raster order, what the tower makes of
        each patch (batch, GRID², width)."""
        ...

    def text_model(self, model: Any) -> Any:
        """The decoder behind it."""
        ...

    def prefix_positions(self, head: int) -> Tensor:
        """Position ids of `head` tokens and the picture behind them: (head + n,), or (3, head + n) for M-RoPE."""
        ...


def architectures() -> Mapping[str, Architecture]:
    """Every family by name; imported here, so that `list` and `--help` need no transformers."""
    from auditor.zoo.architectures import idefics3, llava, qwen2_vl

    return {"llava": llava, "qwen2-vl": qwen2_vl, "idefics3": idefics3}
