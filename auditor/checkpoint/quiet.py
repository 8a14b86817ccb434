"""Keeps transformers silent and offline while a folder is opened or written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers from writing to the terminal and from asking the network."""
    from transformers.utils import logging

    before, offline = logging.get_verbosity(), os.environ.get("HF_HUB_OFFLINE")
    had_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bar:
            logging.enable_progress_bar()
        if offline is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = offline
