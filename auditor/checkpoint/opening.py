"""Opens a checkpoint folder: only what was checked, and exactly what was checked.

Integrity comes first and runs no model code. Then tokenizer, picture processor and weights are loaded from that folder
alone: no network, no remote code, safetensors only, and no tensor missing, unexpected or re-initialised.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from auditor.checkpoint.families import Door, build_door
from auditor.checkpoint.families.aligned import align_products
from auditor.checkpoint.families.comparing import largest_difference
from auditor.checkpoint.families.compiled import compile_layers, worth_compiling
from auditor.checkpoint.families.packed import pack_attention
from auditor.checkpoint.integrity import check_finite, check_folder, refuse_incomplete
from auditor.checkpoint.manifest import Manifest
from auditor.checkpoint.parallel import loading, refuse_speechless, refuse_undivided
from auditor.checkpoint.preprocessing import TOLERANCE
from auditor.checkpoint.prompting import PromptWriter
from auditor.checkpoint.quiet import quiet
from auditor.checkpoint.room import rows_with_room
from auditor.checkpoint.shards import read_json
from auditor.checkpoint.subject import CheckpointSubject
from auditor.company import helps
from auditor.errors import AuditError, CheckpointError
from probes.ascent import limit_rows

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CHECKED_SIZES = ((61, 83), (90, 90))


@dataclass(frozen=True)
class Opened:
    """A checkpoint that answers, with what is known about its files.

    `processor_difference` is the largest one between our picture processing and the folder's own, in [0, 1] units;
    `notes` say what a reader must know about how pictures are given.
    """

    folder: Path
    manifest: Manifest
    family: str
    parameters: int
    subject: CheckpointSubject
    processor_difference: float
    notes: tuple[str, ...] = ()


def open_checkpoint(
    folder: Path, *, device: str = "cpu", dtype: str = "float32", batch_size: int = 32, attention: str | None = None,
    divided: bool = False,
) -> Opened:  # fmt: skip
    """Opens a folder of weights as a subject; `divided`, by all processes that a launcher started, each with a part.

    Raises UsageError when there is no such folder, UnsafeError for pickles, remote code and paths that leave the
    folder, IncompleteError for missing, truncated, unexpected or re-initialised weights, CheckpointError for anything
    that is no image-text-to-text model or whose picture processing cannot be followed differentiably.
    """
    manifest = check_folder(folder)
    if not (divided and helps()):
        check_finite(folder)
    with quiet(), _explained(folder):
        tokenizer, image_processor, template = _load_processing(folder)
        model = _load_model(folder, dtype, attention or ("eager" if device == "cpu" else "sdpa"), divided)
        pack_attention(model)
        align_products(model)
        image_token, door = _image_token(model), build_door(image_processor, model.config)
        difference = max(largest_difference(door, image_processor, *size) for size in _CHECKED_SIZES)
        model.to(device)
        if worth_compiling(model, device) and not divided:
            compile_layers(model)
        visual_tokens = count_visual_tokens(model, door)
        writer = PromptWriter(tokenizer, template, image_token, visual_tokens, door.picture_text(tokenizer))
    if difference > TOLERANCE:
        raise CheckpointError(
            "the picture processor does something that is not followed here",
            where=str(folder),
            got=f"pixels that differ by {difference * 255:.1f}/255",
            expected="at most 2/255",
        )
    end_tokens = _end_tokens(model, tokenizer)
    # The folder's own generation settings (penalties, beams, sampling) must not colour a greedy answer.
    model.generation_config = GenerationConfig(eos_token_id=sorted(end_tokens) or None)
    subject = CheckpointSubject(model, door, writer, end_tokens, batch_size, divided)
    if divided:
        refuse_speechless(subject)
    if device == "cpu":
        limit_rows(subject, rows_with_room(model, visual_tokens))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Opened(folder, manifest, str(model.config.model_type), parameters, subject, difference, door.notes)


def _load_processing(folder: Path) -> tuple[Any, Any, str | None]:
    from transformers import AutoImageProcessor, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    image_processor = AutoImageProcessor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, backend="pil"
    )
    return tokenizer, image_processor, _chat_template(folder, tokenizer)


def _chat_template(folder: Path, tokenizer: Any) -> str | None:
    """From a file of its own, in its present or its former form, or from the tokenizer."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if (folder / "chat_template.json").is_file():
        return str(read_json(folder / "chat_template.json").get("chat_template"))
    template: str | None = tokenizer.chat_template
    return template


def _load_model(folder: Path, dtype: str, attention: str, divided: bool) -> Any:
    from transformers import AutoModelForImageTextToText

    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
        dtype=DTYPES[dtype],
        attn_implementation=attention,
        output_loading_info=True,
        **(loading() if divided else {}),
    )
    model, about = loaded
    refuse_incomplete(about)
    if divided:
        refuse_undivided(model)
    return model.eval()


def _image_token(model: Any) -> int:
    token = getattr(model.config, "image_token_id", None)
    if token is None:
        raise CheckpointError(
            "the configuration names no image token",
            where="config.json",
            got=f"model_type {model.config.model_type}",
            expected="`image_token_id` (or `image_token_index`)",
        )
    return int(token)


def count_visual_tokens(model: Any, door: Door) -> int:
    """How many visual tokens one picture becomes, found by asking the model itself."""
    inputs = door.inputs(torch.zeros(1, 3, *door.canvas, device=model.device))
    inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    with torch.no_grad():
        features = model.get_image_features(**inputs)
    visual = getattr(features, "pooler_output", features)
    first = visual[0] if isinstance(visual, list | tuple) else visual
    return int(first.reshape(-1, first.shape[-1]).shape[0])


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that may end an answer, from the tokenizer and from both configurations."""
    stated = [tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)]
    stated.append(getattr(model.config.get_text_config(), "eos_token_id", None))
    flat = [token for entry in stated for token in (entry if isinstance(entry, list | tuple) else [entry])]
    return frozenset(int(token) for token in flat if token is not None)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turns what transformers raises on a folder it cannot open into our own error, with its words kept."""
    try:
        yield
    except AuditError:
        raise
    except (ImportError, OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise CheckpointError(
            "transformers cannot open this folder as an image-text-to-text model",
            where=str(folder),
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}",
            expected="config, weights, tokenizer and image processor of one supported family",
            todo="open it with transformers yourself to see all it says; `pcr-audit list models` shows the families",
        ) from error
