"""Stretches attend to themselves alone, whatever their lengths, and in one product a length."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from auditor.checkpoint.families import packed
from auditor.checkpoint.families.compiled import compile_layers
from auditor.checkpoint.families.packed import attend
from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.subject import frozen
from tests.checkpoint.folders import build


@pytest.mark.parametrize("lengths", [(4, 4, 4), (4, 2, 4, 1, 2), (7,)])
def test_stretches_are_what_they_are_one_by_one(lengths: tuple[int, ...]) -> None:
    source = torch.Generator().manual_seed(0)
    tokens, bounds = sum(lengths), torch.tensor((0, *lengths)).cumsum(0)
    three = [torch.randn(1, 2, tokens, 8, generator=source, requires_grad=True) for _ in range(3)]
    single = [
        scaled_dot_product_attention(*parts, scale=0.3)
        for parts in zip(*(part.split(list(lengths), dim=2) for part in three), strict=True)
    ]
    expected = torch.cat(single, dim=2).transpose(1, 2)
    found, weights = attend(None, *three, scaling=0.3, cu_seq_lens_q=bounds)
    assert weights is None
    torch.testing.assert_close(found, expected)
    aim = torch.randn(expected.shape, generator=source)
    for mine, theirs in zip(*(torch.autograd.grad((out * aim).sum(), three) for out in (found, expected)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_stretches_of_one_length_are_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.Size] = []

    def counting(query: torch.Tensor, *others: torch.Tensor, scale: float | None) -> torch.Tensor:
        asked.append(query.shape)
        return scaled_dot_product_attention(query, *others, scale=scale)

    monkeypatch.setattr(packed, "scaled_dot_product_attention", counting)
    attend(None, *torch.randn(3, 1, 2, 12, 8), cu_seq_lens_q=torch.tensor([0, 3, 6, 9, 12]))
    assert asked == [torch.Size([4, 2, 3, 8])]


@pytest.mark.parametrize("family", sorted(packed.TOWERS))
def test_the_towers_use_it_and_what_is_saved_does_not_tell(family: str, tmp_path: Path) -> None:
    opened = open_checkpoint(build(family, tmp_path / "given"))
    assert opened.subject.model.model.visual.config._attn_implementation == packed.NAME
    opened.subject.attention(torch.rand(2, 3, *opened.subject.canvas), ["What?"] * 2, layers=1)
    assert opened.subject.model.model.visual.config._attn_implementation == packed.NAME
    opened.subject.model.save_pretrained(tmp_path / "saved")
    assert packed.NAME not in (tmp_path / "saved" / "config.json").read_text()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_compiled_layers_are_not_compiled_anew_for_every_batch(family: str, tmp_path: Path) -> None:
    subject = open_checkpoint(build(family, tmp_path)).subject
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    compile_layers(subject.model, backend)
    counts = []
    for rows in (2, 3, 4, 5, 6):
        pictures = torch.rand(rows, 3, *subject.canvas).requires_grad_(True)
        with frozen(subject.model):
            subject.read(pictures, ["What?"] * rows, [(7,)] * rows).log_probs.sum().backward()
        counts.append(len(compiled))
    assert 0 < counts[0] == counts[-1]
