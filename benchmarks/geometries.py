"""Models of published sizes with random weights, made in memory: what a scan of a real one costs without having it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from auditor.case import Case, Options, read_samples
from auditor.checkpoint.families import build_door
from auditor.checkpoint.families.aligned import align_products
from auditor.checkpoint.families.compiled import compile_layers, worth_compiling
from auditor.checkpoint.families.packed import pack_attention
from auditor.checkpoint.manifest import Manifest
from auditor.checkpoint.opening import DTYPES, Opened, count_visual_tokens
from auditor.checkpoint.prompting import PromptWriter
from auditor.checkpoint.subject import CheckpointSubject
from auditor.data.preparing import prepare
from auditor.zoo.architectures import architectures
from auditor.zoo.architectures.sizes import special_ids
from probes.targets import stack
from reports.record import Competence

LONGEST, READ = 12, 24
"""Tokens after which answers of a random model are made to end, as far as those to so many pictures tell."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of a published model; tokenizer and picture processor are those of one of the zoo's small models.

    `vocabulary` tokens are said; `picture` replaces settings of the picture processor.
    """

    small: str
    vocabulary: int
    text: dict[str, Any]
    vision: dict[str, Any]
    picture: dict[str, Any]

    def config(self, tokenizer: Any) -> Any:
        """Its configuration, with the tokenizer's special tokens."""
        from transformers import LlavaConfig, Qwen2_5_VLConfig

        special = special_ids(tokenizer)
        text = {**self.text, **special, "vocab_size": self.vocabulary, "tie_word_embeddings": False}
        if self.small == "llava":
            grid = self.vision["image_size"] // self.vision["patch_size"]
            return LlavaConfig(
                vision_config={"model_type": "clip_vision_model", **self.vision},
                text_config={"model_type": "llama", **text},
                image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
                image_seq_length=grid**2,
                tie_word_embeddings=False,
                **special,
            )
        marks = {name: tokenizer.convert_tokens_to_ids(token) for name, token in QWEN_TOKENS.items()}
        return Qwen2_5_VLConfig(
            text_config=text, vision_config=self.vision, tie_word_embeddings=False, **marks, **special
        )


QWEN_TOKENS = {
    "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
}  # fmt: skip
GEOMETRIES = {
    # llava-hf/llava-1.5-7b-hf: Vicuna 7B behind CLIP ViT-L/14 at 336 pixels, 576 visual tokens
    "llava-1.5-7b": Geometry(
        "llava",
        32064,
        text={
            "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 32, "max_position_embeddings": 4096,
        },
        vision={
            "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
            "image_size": 336, "patch_size": 14,
        },
        picture={"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    ),
    # Qwen/Qwen2.5-VL-7B-Instruct, with pictures as a scan gives them: 448 pixels, 256 visual tokens
    "qwen2.5-vl-7b": Geometry(
        "qwen2-vl",
        152064,
        text={
            "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
            "num_key_value_heads": 4, "max_position_embeddings": 128000, "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision={
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584,
            "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        },
        picture={"patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 12845056}},
    ),
}  # fmt: skip


def build(geometry: Geometry, name: str, options: Options) -> Case:
    """A subject of this geometry with random weights, in memory alone, and the embedded pictures divided as for a scan.

    Random answers come upon no end token; what some of them say in their thirteenth place counts as one.
    """
    from transformers import AutoModelForImageTextToText

    processor = architectures()[geometry.small].build_processor()
    tokenizer = processor.tokenizer
    tokenizer.add_tokens([f" w{number}" for number in range(len(tokenizer), geometry.vocabulary)])
    for setting, value in geometry.picture.items():
        setattr(processor.image_processor, setting, value)
    torch.manual_seed(0)
    with torch.device(options.device):
        model = AutoModelForImageTextToText.from_config(
            geometry.config(tokenizer), dtype=DTYPES[options.dtype], attn_implementation="sdpa"
        )
    pack_attention(model)
    align_products(model)
    if worth_compiling(model, options.device):
        compile_layers(model)
    door = build_door(processor.image_processor, model.config)
    tokens = count_visual_tokens(model, door)
    image = int(model.config.image_token_id)
    template = getattr(processor, "chat_template", None) or tokenizer.chat_template
    writer = PromptWriter(tokenizer, template, image, tokens, door.picture_text(tokenizer))

    def subject(ends: frozenset[int]) -> CheckpointSubject:
        return CheckpointSubject(model.eval(), door, writer, ends, options.batch_size)

    samples, data = read_samples(None, options.seed)
    first = subject(frozenset({int(tokenizer.eos_token_id)}))
    parts = prepare(first, samples, options.seed)
    few = parts.repair[:READ]
    said = [answer.tokens for answer in first.respond(stack(few), [sample.prompt for sample in few])]
    ends = first.end_tokens | {answer[LONGEST] for answer in said if len(answer) > LONGEST}
    weights = sum(parameter.numel() for parameter in model.parameters())
    opened = Opened(Path(name), Manifest(()), str(model.config.model_type), weights, subject(ends), 0.0)
    blank = Competence(value=None, n=0, floor=0.0, passed=False, method="not measured")
    return Case(opened, data, None, parts, blank)
