"""Tiny random checkpoints of several families, saved to disk like any other."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoTokenizer

from auditor.zoo.architectures import architectures
from auditor.zoo.embedded import CLEAN_MODEL


def build_architecture(name: str, folder: Path) -> Path:
    """A folder of one of the zoo's architectures with random weights."""
    family = architectures()[name]
    processor = family.build_processor()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        family.build_model(processor.tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def build_generic(model: Any, folder: Path) -> Path:
    """A folder of any model that takes the embedded LLaVA's tokenizer and processor."""
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(CLEAN_MODEL).save_pretrained(folder)
    AutoImageProcessor.from_pretrained(CLEAN_MODEL, backend="pil").save_pretrained(folder)
    return folder
