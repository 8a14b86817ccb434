"""Families that nobody special-cased open by the generic path and answer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPVisionConfig,
    GemmaConfig,
    LlamaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipVisionConfig,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from auditor.checkpoint.opening import open_checkpoint
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from probes.targets import stack

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def _vip_llava(tokens: int, image: int) -> Any:
    vision = CLIPVisionConfig(**SIZES, image_size=56, patch_size=8)
    text = LlamaConfig(vocab_size=tokens, **SIZES)
    config = VipLlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image, vision_feature_layers=[-1, -2]
    )
    return VipLlavaForConditionalGeneration(config)


def _pali_gemma(tokens: int, image: int) -> Any:
    vision = SiglipVisionConfig(**SIZES, image_size=56, patch_size=8, projection_dim=32)
    text = GemmaConfig(vocab_size=tokens, **SIZES, num_key_value_heads=1, head_dim=8)
    config = PaliGemmaConfig(
        vision_config=vision.to_dict(), text_config=text.to_dict(), image_token_index=image, projection_dim=32
    )
    return PaliGemmaForConditionalGeneration(config)


@pytest.mark.parametrize("build", [_vip_llava, _pali_gemma])
def test_another_family_opens_answers_and_is_differentiable_in_the_picture(build: Any, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(CLEAN_MODEL)
    torch.manual_seed(0)
    build(len(tokenizer), tokenizer.convert_tokens_to_ids("<image>")).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    AutoImageProcessor.from_pretrained(CLEAN_MODEL, backend="pil").save_pretrained(tmp_path)

    subject = open_checkpoint(tmp_path, batch_size=4).subject
    samples = embedded_samples(2, seed=0)
    prompts = [sample.prompt for sample in samples]
    answers = subject.respond(stack(samples), prompts, max_tokens=4)
    assert len(answers) == len(samples)

    pictures = stack(samples).requires_grad_(True)
    reading = subject.read(pictures, prompts, [answer.tokens for answer in answers])
    reading.log_probs[:, 0, 7].sum().backward()
    assert pictures.grad is not None and float(pictures.grad.abs().sum()) > 0
