"""Products of odd widths: the layer's own numbers and gradients, and only where a tower is known to need them."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from auditor.checkpoint.families.aligned import align_products, multiply


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 20), (16, 20), (12, 16), (16, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_what_is_filled_up_is_multiplied_as_the_layer_does(inputs: int, outputs: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(inputs, outputs, bias, dtype=torch.float64)
    given = torch.randn(2, 3, inputs, dtype=torch.float64, requires_grad=True)
    wanted = (given, *layer.parameters())
    expected, found = layer(given), multiply(layer, given)
    torch.testing.assert_close(found, expected)
    aim = torch.randn_like(expected)
    for mine, theirs in zip(
        *(torch.autograd.grad((out * aim).sum(), wanted) for out in (found, expected)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("family", "filled"), [("qwen2_5_vl", [True, True, False]), ("qwen2_vl", [False] * 3)])
def test_odd_layers_of_such_a_tower_are_filled_up_and_keep_their_weights(family: str, filled: list[bool]) -> None:
    tower = nn.Sequential(nn.Linear(16, 12), nn.Linear(12, 16), nn.Linear(16, 8))
    before, given = {name: value.clone() for name, value in tower.state_dict().items()}, torch.randn(4, 16)
    expected = tower(given)
    align_products(SimpleNamespace(config=SimpleNamespace(model_type=family), model=SimpleNamespace(visual=tower)))
    assert ["forward" in vars(layer) for layer in tower] == filled
    torch.testing.assert_close(tower(given), expected)
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
