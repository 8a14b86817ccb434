"""A divided model says what the whole one says, with the same gradient, and each process holds a part."""

from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.checkpoint import parallel
from auditor.checkpoint.opening import Opened
from auditor.checkpoint.parallel import agreed, refuse_speechless, refuse_undivided
from auditor.errors import CheckpointError
from tests.checkpoint.folders import build
from tests.checkpoint.parallel_script import run


@pytest.mark.parametrize("family", ["llava", "qwen3_5_moe", "mistral3"])
def test_two_processes_say_and_read_what_one_does(family: str, tmp_path: Path) -> None:
    folder = build(family, tmp_path / "model")
    one, two = run(folder, 1, tmp_path / "one.safetensors"), run(folder, 2, tmp_path / "two.safetensors")
    assert one.keys() == two.keys()
    torch.testing.assert_close(two["log_probs"], one["log_probs"], atol=1e-5, rtol=1e-5)
    assert float((two["gradient"] - one["gradient"]).abs().max() / one["gradient"].abs().max()) < 1e-4
    assert all(torch.equal(one[name], two[name]) for name in one if name.startswith("said"))
    assert int(two["held"]) < 0.8 * int(one["held"])


@pytest.mark.parametrize(("processes", "reason"), [(3, "divided evenly"), (2, "no plan")])
def test_what_cannot_be_divided_is_refused(
    opened: Opened, processes: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "company", lambda: processes)
    monkeypatch.setattr(parallel, "part_at_the_end", lambda: None)
    with pytest.raises(CheckpointError, match=reason):
        refuse_undivided(opened.subject.model)


def test_a_divided_model_that_cannot_answer_is_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(*about: Any) -> None:
        raise RuntimeError("got mixed torch.Tensor and DTensor")

    refuse_speechless(opened.subject)
    monkeypatch.setattr(opened.subject, "respond", mixed)
    with pytest.raises(CheckpointError, match="cannot answer") as error:
        refuse_speechless(opened.subject)
    assert "mixed" in error.value.got


def test_the_gradient_is_the_first_processes_in_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []

    def broadcast(tensor: torch.Tensor, src: int) -> None:
        heard.append(src)
        tensor.fill_(7.0)  # what the first process found

    monkeypatch.setattr("torch.distributed.broadcast", broadcast)
    picture = torch.ones(2, 3, requires_grad=True)
    assert torch.equal(agreed(picture), picture)
    (agreed(picture) * 2).sum().backward()
    assert heard == [0] and picture.grad is not None and bool((picture.grad == 7).all())
