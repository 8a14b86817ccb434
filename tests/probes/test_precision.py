import pytest
import torch

from probes.precision import exact, halved, multiplies_halves


@pytest.mark.parametrize(
    ("known", "device", "expected"),
    [
        ({"avx512_bf16": True}, "cpu", True),
        ({"amx_bf16": True, "avx512_bf16": False}, "cpu", True),
        ({"avx2": True}, "cpu", False),
        ({"avx512_bf16": True}, "cuda", False),
    ],
)
def test_halves_are_multiplied_where_the_processor_can(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], device: str, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    with halved(torch.device(device)):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype == torch.bfloat16) == expected


def test_a_torch_that_cannot_tell_multiplies_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_halves()


def test_nothing_is_halved_where_runs_have_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    with exact(), halved(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with halved(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
