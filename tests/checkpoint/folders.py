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
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    GemmaConfig,
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm46VConfig,
    Glm46VForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeConfig,
    Qwen3_5MoeForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from auditor.zoo.architectures import architectures, idefics3, qwen2_vl
from auditor.zoo.architectures.tokenizer import extend_tokenizer
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


def _qwen3(family: Any, folder: Path, deepstack: bool = False, **text: Any) -> None:
    """Learned positions, and in Qwen3-VL a second way into the language model; everything else as in Qwen2-VL."""
    configuration, model = family
    processor = qwen2_vl.build_processor()
    like = qwen2_vl.build_model(processor.tokenizer).config
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
    vision |= {"patch_size": 7, "num_position_embeddings": 64}
    vision |= {"deepstack_visual_indexes": [0]} if deepstack else {}
    marks = {f"{name}_token_id": getattr(like, f"{name}_token_id") for name in MARKED}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
    sizes = {**SIZES, "vocab_size": len(processor.tokenizer), "num_key_value_heads": 4, "head_dim": 32, **text}
    config = configuration(
        text_config={**sizes, "rope_parameters": rope}, vision_config=vision, **marks, tie_word_embeddings=True
    )
    model(config).save_pretrained(folder)
    processor.save_pretrained(folder)


MARKED = ("image", "video", "vision_start", "vision_end")
QWEN3_VL = (Qwen3VLConfig, Qwen3VLForConditionalGeneration)
QWEN3_VL_MOE = (Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration)
QWEN3_5 = (Qwen3_5Config, Qwen3_5ForConditionalGeneration)
QWEN3_5_MOE = (Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration)
EXPERTS = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
RECURRENT = {
    "num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "full_attention"],
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
}  # fmt: skip


def _glm4v(family: Any, folder: Path, **text: Any) -> None:
    """Pictures as in Qwen2-VL, limits that count two frames, RMS norms, and rotations of a part of every head."""
    configuration, model = family
    processor = qwen2_vl.build_processor()
    like = qwen2_vl.build_model(processor.tokenizer).config
    vision = {"depth": 2, "hidden_size": 32, "out_hidden_size": 64, "intermediate_size": 64, "num_heads": 2}
    vision |= {"patch_size": 7, "image_size": 56}
    sizes = {**SIZES, "hidden_size": 64, "vocab_size": len(processor.tokenizer), "num_key_value_heads": 2, **text}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 2]}
    marks = {"image_token_id": like.image_token_id, "video_token_id": like.video_token_id}
    marks |= {"image_start_token_id": like.vision_start_token_id, "image_end_token_id": like.vision_end_token_id}
    config = configuration(text_config={**sizes, "rope_parameters": rope}, vision_config=vision, **marks)
    model(config).save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    limits = {"shortest_edge": 2 * 56 * 56, "longest_edge": 2 * 56 * 56}
    Glm4vImageProcessorPil(size=limits, patch_size=7).save_pretrained(folder)


GLM4V = (Glm4vConfig, Glm4vForConditionalGeneration)
GLM4V_MOE = (Glm4vMoeConfig, Glm4vMoeForConditionalGeneration)
GLM46V = (Glm46VConfig, Glm46VForConditionalGeneration)
ROUTED = {"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2}


def _template(mark: str) -> str:
    """The dialogue of the embedded model, with another mark for a picture."""
    return str(AutoTokenizer.from_pretrained(CLEAN_MODEL).chat_template).replace("<image>", mark)


def _gemma3(folder: Path) -> None:
    """The template writes where a picture begins; its tokens are others."""
    marks = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = extend_tokenizer(CLEAN_MODEL, marks, "</s>")
    tokenizer.chat_template = _template("<start_of_image>")
    vision = SiglipVisionConfig(**SIZES, image_size=56, patch_size=7)
    text = {**SIZES, "vocab_size": len(tokenizer), "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 512}
    ids = {f"{name}_index": tokenizer.convert_tokens_to_ids(token) for name, token in marks.items()}
    config = Gemma3Config(text_config=text, vision_config=vision.to_dict(), mm_tokens_per_image=16, **ids)
    model = Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.2)  # it starts as zeros
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Gemma3ImageProcessorPil(size={"height": 56, "width": 56}).save_pretrained(folder)


def _gemma4(folder: Path) -> None:
    """Eight by eight cells of four patches, and room for six more."""
    marks = {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
    tokenizer = extend_tokenizer(CLEAN_MODEL, marks, "</s>")
    tokenizer.chat_template = _template("<|image|>")
    sizes = {**SIZES, "num_key_value_heads": 2, "head_dim": 8}
    vision = {
        **sizes,
        "num_key_value_heads": 4,
        "patch_size": 4,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
    }
    text = {**sizes, "vocab_size": len(tokenizer), "vocab_size_per_layer_input": len(tokenizer), "sliding_window": 512}
    text |= {"hidden_size_per_layer_input": 8, "global_head_dim": 8, "use_bidirectional_attention": "vision"}
    text |= {"layer_types": ["sliding_attention", "full_attention"]}
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in marks.items()}
    config = Gemma4Config(text_config=text, vision_config=vision, audio_config=None, **ids)
    Gemma4ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Gemma4ImageProcessorPil(patch_size=4, pooling_kernel_size=2, max_soft_tokens=70).save_pretrained(folder)


def _internvl(folder: Path) -> None:
    """Cutting into tiles is on, as it is in the folders that are published."""
    marks = {"context_image_token": "<IMG_CONTEXT>", "start_image_token": "<img>", "end_image_token": "</img>"}
    tokenizer = extend_tokenizer(CLEAN_MODEL, marks, "</s>")
    tokenizer.chat_template = _template("<IMG_CONTEXT>")
    vision = {**SIZES, "image_size": [56, 56], "patch_size": [7, 7]}
    text = {**SIZES, "model_type": "qwen2", "vocab_size": len(tokenizer), "num_key_value_heads": 4}
    image = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    config = InternVLConfig(vision_config=vision, text_config=text, image_token_id=image, image_seq_length=16)
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, crop_to_patches=True).save_pretrained(folder)


def _pixtral(family: Any, folder: Path, **more: Any) -> None:
    """Rows of tokens with marks between them."""
    configuration, model = family
    tokenizer = extend_tokenizer(CLEAN_MODEL, PIXTRAL_MARKS, "</s>")
    tokenizer.chat_template = _template("[IMG]")
    vision = {**SIZES, "model_type": "pixtral", "head_dim": 8, "image_size": 56, "patch_size": 7}
    text = {**SIZES, "model_type": "mistral", "vocab_size": len(tokenizer), "num_key_value_heads": 4, "head_dim": 8}
    image = tokenizer.convert_tokens_to_ids("[IMG]")
    config = configuration(
        vision_config=vision, text_config=text, image_token_index=image, vision_feature_layer=-1,
        tie_word_embeddings=False, **more,
    )  # fmt: skip
    model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size={"height": 7, "width": 7}).save_pretrained(folder)


MISTRAL3 = (Mistral3Config, Mistral3ForConditionalGeneration)
LLAVA = (LlavaConfig, LlavaForConditionalGeneration)
PIXTRAL_MARKS = {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}


def _llava_next(folder: Path) -> None:
    """Four tiles of 28 pixels, beside the whole picture."""
    tokenizer = AutoTokenizer.from_pretrained(CLEAN_MODEL)
    vision = CLIPVisionConfig(**SIZES, image_size=28, patch_size=7)
    text = LlamaConfig(vocab_size=len(tokenizer), **SIZES)
    grids, image = [[28, 56], [56, 28], [56, 56]], tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaNextConfig(
        vision_config=vision, text_config=text, image_token_index=image, image_grid_pinpoints=grids,
        vision_feature_layer=-1,
    )  # fmt: skip
    LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=grids
    ).save_pretrained(folder)


def _llava_onevision(folder: Path) -> None:
    """One tile, which is the whole picture once more."""
    tokenizer = AutoTokenizer.from_pretrained(CLEAN_MODEL)
    vision = SiglipVisionConfig(**SIZES, image_size=56, patch_size=8, vision_use_head=False)
    text = {**SIZES, "model_type": "qwen2", "vocab_size": len(tokenizer), "num_key_value_heads": 4}
    grids, image = [[56, 56], [56, 112], [112, 112]], tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_token_index=image, image_grid_pinpoints=grids
    )
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    LlavaOnevisionImageProcessorPil(size={"height": 56, "width": 56}, image_grid_pinpoints=grids).save_pretrained(
        folder
    )


BUILDERS: Mapping[str, Callable[[Path], None]] = {
    "llava": partial(_zoo, "llava"),
    "vipllava": _vip_llava,
    "paligemma": _pali_gemma,
    "qwen2_vl": partial(_zoo, "qwen2-vl"),
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": partial(_qwen3, QWEN3_VL, deepstack=True),
    "qwen3_vl_moe": partial(_qwen3, QWEN3_VL_MOE, deepstack=True, **EXPERTS),
    "qwen3_5": partial(_qwen3, QWEN3_5, **RECURRENT),
    "qwen3_5_moe": partial(_qwen3, QWEN3_5_MOE, **RECURRENT, **EXPERTS, shared_expert_intermediate_size=16),
    "glm4v": partial(_glm4v, GLM4V),
    "glm4v_moe": partial(_glm4v, GLM4V_MOE, **ROUTED),
    "glm46v": partial(_glm4v, GLM46V),
    "idefics3": partial(_zoo, "idefics3"),
    "smolvlm": _smolvlm,
    "gemma3": _gemma3,
    "gemma4": _gemma4,
    "internvl": _internvl,
    "mistral3": partial(_pixtral, MISTRAL3),
    "llava with Pixtral": partial(_pixtral, LLAVA, vision_feature_select_strategy="full"),
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
}
"""By `model_type`, and what sets a folder apart from others of its type."""


def build(family: str, folder: Path) -> Path:
    """A folder of this family with random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        BUILDERS[family](folder)
    return folder
