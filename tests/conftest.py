"""What every test may lean on: no network, one thread, no display, and a real checkpoint to open or to break."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from auditor.checkpoint.opening import Opened

# Before anything imports transformers, torch or matplotlib: each reads its variable once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel processes already


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked `gpu` where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def untouched_llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA folder as `save_pretrained` writes it, with random weights; read it, never write into it."""
    import torch
    from transformers.utils import logging

    from auditor.zoo.architectures.llava import build_model, build_processor

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("llava")
    processor = build_processor()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        build_model(processor.tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def opened(untouched_llava: Path) -> "Opened":
    """That folder, opened; whoever changes its weights works on a copy."""
    from auditor.checkpoint.opening import open_checkpoint

    return open_checkpoint(untouched_llava, batch_size=4)


@pytest.fixture
def llava_folder(untouched_llava: Path, tmp_path: Path) -> Path:
    """A copy of that folder for one test, to break."""
    return Path(shutil.copytree(untouched_llava, tmp_path / "llava"))
