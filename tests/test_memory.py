"""Memory is kept where glibc can be told to, and whoever says otherwise is obeyed."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from auditor import memory
from auditor.memory import MMAP_MAX, SETTINGS, TRIM_THRESHOLD, UNUSED, keep_memory


def library(monkeypatch: pytest.MonkeyPatch, **functions: object) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace(**functions))


def test_glibc_is_told_and_children_are_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}
    library(monkeypatch, mallopt=lambda what, value: asked.update({what: value}) or 1)
    environment: dict[str, str] = {"HOME": "/"}
    assert keep_memory(environment)
    assert asked == {MMAP_MAX: 0, TRIM_THRESHOLD: UNUSED}
    assert environment == {"HOME": "/", **SETTINGS}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_settings_of_the_user_stand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, mallopt=lambda what, value: pytest.fail("nobody asked for it"))
    environment = {name: "7"}
    assert not keep_memory(environment)
    assert environment == {name: "7"}


def test_without_glibc_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch)
    environment: dict[str, str] = {}
    assert not keep_memory(environment) and not environment


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_blocks_that_were_freed_are_not_fetched_anew() -> None:
    """How often the kernel hands out pages for blocks of 48 MiB that are taken and freed in turn."""
    script = """if True:
        import resource, sys
        from auditor.memory import keep_memory
        if sys.argv[1] == "kept":
            assert keep_memory()
        import torch
        torch.set_num_threads(1)
        for turn in range(40):
            if turn == 10:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            held = [torch.ones(12 * 2**20) for _ in range(4)]
            del held
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", script, how], env=bare, capture_output=True, check=True).stdout)
        for how in ("kept", "given back")
    )
    assert 10 * kept < given_back
