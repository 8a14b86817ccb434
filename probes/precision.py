"""Where half precision pays: what is only climbed or trained, never measured, may be multiplied in bfloat16."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch


def multiplies_halves() -> bool:
    """Whether this processor has instructions for products in bfloat16; without them they cost more than they save.

    Releases of torch that cannot tell (before 2.13) count as a processor without.
    """
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def halved(device: torch.device) -> AbstractContextManager[object]:
    """Products in bfloat16 inside, on a CPU that has instructions for them; on any other device nothing changes."""
    return torch.autocast("cpu", torch.bfloat16, enabled=device.type == "cpu" and multiplies_halves())
