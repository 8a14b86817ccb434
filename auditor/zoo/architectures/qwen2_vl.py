"""Qwen2-VL: 2.0 million parameters, patches of 7 pixels, merged four to one, M-RoPE: 16 visual tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

from auditor.zoo.architectures import warm
from auditor.zoo.architectures.sizes import HEADS, WIDTH, special_ids, text_sizes
from auditor.zoo.architectures.tokenizer import extend_tokenizer
from auditor.zoo.embedded import CLEAN_MODEL
from auditor.zoo.scenes import SIDE

PATCH, MERGE, FRAMES = 7, 2, 2
GRID = SIDE // PATCH
CELLS = GRID // MERGE
ABOUT = "A Qwen2-VL of 2.0 million parameters (56 px, patches of 7 px, 16 visual tokens, 1,286 subwords)"
ORIGIN = (
    "Trained by `python -m auditor.zoo.train --architecture qwen2-vl --warm` from those weights of the embedded "
    "LLaVA that fit; the settings are in `auditor/zoo/README.md`."
)
BLOCKS_FROM = (0, 1, 3)
"""Which of CLIP's four blocks the tower's three start from; a fourth would make more than 2 million weights."""
SECTIONS = (1, 2, 13)
"""How many of the 16 frequencies, from high to low, tell time, row and column. In the published proportion (4, 6, 6)
the column's are so low that four columns look alike."""
END = "<|im_end|>"
MARKS = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
         "vision_eos_token": "<|vision_end|>", "turn_start_token": "<|im_start|>", "turn_end_token": END}  # fmt: skip

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Processor:
    """Tokenizer and picture processor side by side: transformers' own pair wants torchvision for videos."""

    image_processor: Qwen2VLImageProcessorPil
    tokenizer: PreTrainedTokenizerFast

    def save_pretrained(self, folder: Path) -> None:
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def build_processor() -> Processor:
    image_processor = Qwen2VLImageProcessorPil(
        min_pixels=SIDE * SIDE,
        max_pixels=SIDE * SIDE,
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=FRAMES,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    tokenizer = extend_tokenizer(CLEAN_MODEL, MARKS, END)
    tokenizer.chat_template = CHAT_TEMPLATE
    return Processor(image_processor, tokenizer)


def build_model(tokenizer: Any) -> Qwen2VLForConditionalGeneration:
    """Fresh weights from torch's global generator: seed it before."""
    special = special_ids(tokenizer)
    vision = {
        "depth": len(BLOCKS_FROM),
        "embed_dim": WIDTH,
        "hidden_size": WIDTH,
        "mlp_ratio": 4,
        "num_heads": HEADS,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": FRAMES,
    }
    text = {
        **text_sizes(len(tokenizer)),
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(SECTIONS)},
        **special,
    }
    ids = {
        f"{name}_id": tokenizer.convert_tokens_to_ids(MARKS[mark])
        for name, mark in (
            ("image_token", "image_token"),
            ("video_token", "video_token"),
            ("vision_start_token", "vision_bos_token"),
            ("vision_end_token", "vision_eos_token"),
        )
    }
    config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids, **special)
    return Qwen2VLForConditionalGeneration(config)


def see(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Packed patches (batch · 64, 294) → visual tokens (batch, 16, 128) and the tower's patches (batch, 64, 128).

    The same numbers as the model's own forward, which attends to one picture at a time and is three times as slow.
    """
    tower = model.model.visual
    count = len(pixels) // GRID**2
    hidden = tower.patch_embed(pixels).view(count, GRID**2, WIDTH)
    turns = tower.rotary_pos_emb(hidden, patch_places())  # (64, 32) each
    for block in tower.blocks:
        hidden = hidden + _attend(block.attn, block.norm1(hidden), turns)
        hidden = hidden + block.mlp(block.norm2(hidden))
    visual = tower.merger(hidden.flatten(0, 1)).view(count, CELLS * CELLS, WIDTH)
    raster = hidden.view(count, CELLS, CELLS, MERGE, MERGE, WIDTH).transpose(2, 3).reshape(hidden.shape)
    return visual, raster


def patch_places() -> Tensor:
    """(64, 2): row and column of each patch, in the order in which they are packed."""
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    both = torch.stack([rows, columns], dim=-1).view(CELLS, MERGE, CELLS, MERGE, 2)
    return both.transpose(1, 2).reshape(-1, 2)


def _attend(attention: Any, hidden: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    count, length, width = hidden.shape
    qkv = attention.qkv(hidden).view(count, length, 3, HEADS, width // HEADS)
    query, key, value = qkv.unbind(2)  # (batch, 64, heads, 32)
    query, key = apply_rotary_pos_emb_vision(query, key, *turns)
    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) * attention.scaling  # (batch, heads, 64, 64)
    mixed = scores.softmax(-1) @ value.transpose(1, 2)
    out: Tensor = attention.proj(mixed.transpose(1, 2).reshape(hidden.shape))
    return out


def text_model(model: Any) -> Any:
    return model.model.language_model


def prefix_positions(head: int) -> Tensor:
    """(3, head + 16): time, row and column of M-RoPE; the text behind goes on at `head` + 4."""
    cells = torch.arange(CELLS)
    rows, columns = (grid.flatten() + head for grid in torch.meshgrid(cells, cells, indexing="ij"))
    visual = torch.stack([torch.full_like(rows, head), rows, columns])
    return torch.cat([torch.arange(head).expand(3, -1), visual], dim=1)


def warm_start(model: Any, source: Any, tokenizer: Any, pixels: Tensor) -> None:
    """Copies from a LLaVA what fits: text layers, vision blocks, resized embeddings, its projector as the merger.

    The merger starts as the mean of four projected patches; positions are left to rotary embeddings; `pixels` are
    normalised.
    """
    end = tokenizer.convert_tokens_to_ids([END, "</s>"])
    tower, mine = source.model.vision_tower, model.model.visual
    tower = getattr(tower, "vision_model", tower)
    with torch.no_grad():
        warm.copy_text(model.model.language_model, source.model.language_model, {end[0]: end[1]})
        kernel, _, _ = warm.folded_embeddings(tower, pixels, PATCH)
        mine.patch_embed.proj.weight.copy_(kernel.unsqueeze(2).expand(-1, -1, FRAMES, -1, -1) / FRAMES)
        for block, number in zip(mine.blocks, BLOCKS_FROM, strict=True):
            theirs = tower.encoder.layers[number]
            warm.copy_block((block.norm1, block.norm2), block.mlp, theirs)
            parts = [getattr(theirs.self_attn, f"{name}_proj") for name in "qkv"]
            block.attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
            block.attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
            block.attn.proj.load_state_dict(theirs.self_attn.out_proj.state_dict())
        _merge(mine.merger.mlp, source.model.multi_modal_projector)


def _merge(mlp: Any, projector: Any) -> None:
    """Four times the projector's first layer side by side, and the mean of four times its second."""
    mlp[0].weight.copy_(torch.block_diag(*[projector.linear_1.weight] * MERGE**2))
    mlp[0].bias.copy_(projector.linear_1.bias.repeat(MERGE**2))
    mlp[2].weight.copy_(projector.linear_2.weight.repeat(1, MERGE**2) / MERGE**2)
    mlp[2].bias.copy_(projector.linear_2.bias)
