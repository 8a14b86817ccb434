"""Idefics3: 1.9 million parameters, patches of 7 pixels, shuffled four into one: 16 visual tokens."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    Idefics3VisionConfig,
    LlamaConfig,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from auditor.zoo.architectures import warm
from auditor.zoo.architectures.sizes import special_ids, text_sizes, tower_sizes
from auditor.zoo.architectures.tokenizer import extend_tokenizer
from auditor.zoo.embedded import CLEAN_MODEL
from auditor.zoo.scenes import SIDE

PATCH, SCALE = 7, 2
GRID = SIDE // PATCH
VISUAL = (GRID // SCALE) ** 2
ABOUT = "An Idefics3 of 1.9 million parameters (56 px, patches of 7 px, 16 visual tokens, 1,283 subwords)"
ORIGIN = (
    "Trained by `python -m auditor.zoo.train --architecture idefics3 --warm` from those weights of the embedded "
    "LLaVA that fit; the settings are in `auditor/zoo/README.md`."
)
END = "<end_of_utterance>"
MARKS = {"image_token": "<image>", "fake_image_token": "<fake_token_around_image>",
         "global_image_token": "<global-img>", "end_of_utterance_token": END}  # fmt: skip

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'] is not string and message['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}<image>{% endif %}"
    "{% endfor %}{% endif %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def build_processor() -> Idefics3Processor:
    image_processor = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    tokenizer = extend_tokenizer(CLEAN_MODEL, MARKS, END)
    return Idefics3Processor(image_processor, tokenizer, image_seq_len=VISUAL, chat_template=CHAT_TEMPLATE)


def build_model(tokenizer: Any) -> Idefics3ForConditionalGeneration:
    """Fresh weights from torch's global generator: seed it before."""
    special = special_ids(tokenizer)
    vision = Idefics3VisionConfig(**tower_sizes(PATCH))
    text = LlamaConfig(**text_sizes(len(tokenizer)), **special)
    config = Idefics3Config(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=SCALE,
        tie_word_embeddings=True,
        **special,
    )
    return Idefics3ForConditionalGeneration(config)


def see(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Tiles (batch, 1, 3, 56, 56) → visual tokens (batch, 16, 128) and the tower's patches (batch, 64, 128)."""
    seen = model.model.vision_model(pixel_values=pixels[:, 0]).last_hidden_state
    return model.model.connector(seen), seen


def text_model(model: Any) -> Any:
    return model.model.text_model


def prefix_positions(head: int) -> Tensor:
    """(head + 16,): one number a token."""
    return torch.arange(head + VISUAL)


def warm_start(model: Any, source: Any, tokenizer: Any, pixels: Tensor) -> None:
    """Copies from a LLaVA what fits: text layers, vision blocks, and resized embeddings; `pixels` are normalised."""
    end = tokenizer.convert_tokens_to_ids([END, "</s>"])
    tower, mine = source.model.vision_tower, model.model.vision_model
    tower = getattr(tower, "vision_model", tower)
    with torch.no_grad():
        warm.copy_text(model.model.text_model, source.model.language_model, {end[0]: end[1]})
        kernel, bias, places = warm.folded_embeddings(tower, pixels, PATCH)
        mine.embeddings.patch_embedding.weight.copy_(kernel)
        mine.embeddings.patch_embedding.bias.copy_(bias)
        mine.embeddings.position_embedding.weight.copy_(places)
        for block, theirs in zip(mine.encoder.layers, tower.encoder.layers, strict=True):
            warm.copy_block((block.layer_norm1, block.layer_norm2), block.mlp, theirs)
            block.self_attn.load_state_dict(theirs.self_attn.state_dict())
