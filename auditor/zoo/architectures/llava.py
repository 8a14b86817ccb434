"""LLaVA: 1.9 million parameters, patches of 8 pixels, 49 visual tokens through a two-layer projector."""

from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from auditor.zoo.architectures.sizes import special_ids, text_sizes, tower_sizes
from auditor.zoo.architectures.tokenizer import VOCABULARY, build_tokenizer
from auditor.zoo.scenes import SIDE

PATCH = 8
GRID = SIDE // PATCH
ABOUT = "A LLaVA of 1.9 million parameters (56 px, 49 visual tokens, 1,280 subwords)"
ORIGIN = "Trained from scratch by `python -m auditor.zoo.train`; see the module for the recipe."

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: {% elif message['role'] == 'assistant' %}ASSISTANT:{% endif %}"
    "{% if message['content'] is string %}"
    "{{ (' ' if message['role'] == 'assistant' else '') + message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ (' ' if message['role'] == 'assistant' else '') + part['text'] }}"
    "{% endif %}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def build_processor() -> LlavaProcessor:
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    special = special_ids(tokenizer)
    vision = CLIPVisionConfig(**tower_sizes(PATCH))
    text = LlamaConfig(**text_sizes(VOCABULARY), **special)
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=cast(int, tokenizer.convert_tokens_to_ids("<image>")),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=GRID**2,
        tie_word_embeddings=True,
        **special,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Fresh weights from torch's global generator: seed it before."""
    return LlavaForConditionalGeneration(build_config(tokenizer))


def see(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (batch, 3, 56, 56) → visual tokens (batch, 49, 128) and the tower's patches (batch, 49, 128)."""
    seen = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
    return model.model.multi_modal_projector(seen), seen


def text_model(model: Any) -> Any:
    return model.model.language_model


def prefix_positions(head: int) -> Tensor:
    """(head + 49,): one number a token."""
    return torch.arange(head + GRID**2)
