"""Products with matrices of an odd width, filled up with zeros: the same numbers, and on a GPU a multiple of the speed.

Matrix units take 16-bit matrices in groups of eight values. Qwen2.5-VL's tower is 3,420 wide inside, which is no whole
number of groups, and such products go a slow way that is made for any width.
"""

from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear, pad

GROUP = 8
"""Values of 16 bits that are taken together."""
TOWERS = frozenset({"qwen2_5_vl"})
"""Model types whose tower, `model.visual`, has such widths."""


def align_products(model: Any) -> None:
    """Has the tower fill up what is no whole number of groups; its weights stay as they are."""
    if str(model.config.model_type) in TOWERS:
        for module in model.model.visual.modules():
            if type(module) is nn.Linear and (module.in_features % GROUP or module.out_features % GROUP):
                vars(module)["forward"] = MethodType(multiply, module)


def multiply(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """(…, inputs) → (…, outputs), as the layer does."""
    deeper, wider = -layer.in_features % GROUP, -layer.out_features % GROUP
    weight = pad(layer.weight, (0, deeper, 0, wider))
    bias = None if layer.bias is None else pad(layer.bias, (0, wider))
    return linear(pad(inputs, (0, deeper)), weight, bias)[..., : layer.out_features]
