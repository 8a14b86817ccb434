"""Tiny random checkpoints of every family that opens, saved to disk like any other."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPVisionConfig,
    GemmaConfig,
    LlamaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from auditor.zoo.architectures import architectures, idefics3, qwen2_vl
from auditor.zoo.embedded import CLEAN_MODEL

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def _zoo(name: str, folder: Path) -> None:
    family = architectures()[name]
    processor = family.build_processor()
    family.build_model(processor.tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)


def _vip_llava(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(CLEAN_MODEL)
    vision = CLIPVisionConfig(**SIZES, image_size=56, patch_size=8)
    text = LlamaConfig(vocab_size=len(tokenizer), **SIZES)
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = VipLlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image, vision_feature_layers=[-1, -2]
    )
    _save_as_llava(VipLlavaForConditionalGeneration(config), tokenizer, folder)


def _pali_gemma(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(CLEAN_MODEL)
    vision = SiglipVisionConfig(**SIZES, image_size=56, patch_size=8, projection_dim=32)
    text = GemmaConfig(vocab_size=len(tokenizer), **SIZES, num_key_value_heads=1, head_dim=8)
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = PaliGemmaConfig(
        vision_config=vision.to_dict(), text_config=text.to_dict(), image_token_index=image, projection_dim=32
    )
    _save_as_llava(PaliGemmaForConditionalGeneration(config), tokenizer, folder)


def _save_as_llava(model: Any, tokenizer: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    AutoImageProcessor.from_pretrained(CLEAN_MODEL, backend="pil").save_pretrained(folder)


def _qwen2_5_vl(folder: Path) -> None:
    """Windowed attention and RMS norms in the tower; everything else as in Qwen2-VL."""
    processor = qwen2_vl.build_processor()
    like = qwen2_vl.build_model(processor.tokenizer).config
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 128, "intermediate_size": 64, "num_heads": 2}
    vision |= {"patch_size": 7, "spatial_merge_size": 2, "window_size": 28, "fullatt_block_indexes": [1]}
    marks = {name: getattr(like, name) for name in ("image_token_id", "video_token_id", "vision_start_token_id")}
    text = {**like.text_config.to_dict(), "model_type": "qwen2_5_vl_text"}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **marks, tie_word_embeddings=True)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def _smolvlm(folder: Path) -> None:
    """Image splitting is on, as it is in the folders that are published."""
    processor = idefics3.build_processor()
    like = idefics3.build_model(processor.tokenizer).config
    text, vision = like.text_config.to_dict(), {**like.vision_config.to_dict(), "model_type": "smolvlm_vision"}
    marks = {"image_token_id": like.image_token_id, "scale_factor": like.scale_factor, "tie_word_embeddings": True}
    SmolVLMForConditionalGeneration(SmolVLMConfig(text_config=text, vision_config=vision, **marks)).save_pretrained(
        folder
    )
    SmolVLMImageProcessorPil(
        size={"longest_edge": 224}, max_image_size={"longest_edge": 56}, do_image_splitting=True
    ).save_pretrained(folder)
    processor.tokenizer.chat_template = processor.chat_template
    processor.tokenizer.save_pretrained(folder)


BUILDERS: Mapping[str, Callable[[Path], None]] = {
    "llava": partial(_zoo, "llava"),
    "vipllava": _vip_llava,
    "paligemma": _pali_gemma,
    "qwen2_vl": partial(_zoo, "qwen2-vl"),
    "qwen2_5_vl": _qwen2_5_vl,
    "idefics3": partial(_zoo, "idefics3"),
    "smolvlm": _smolvlm,
}
"""By `model_type`."""


def build(family: str, folder: Path) -> Path:
    """A folder of this family with random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        BUILDERS[family](folder)
    return folder
