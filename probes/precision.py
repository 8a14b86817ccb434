"""Where half precision pays: what is only climbed or trained, never measured, may be multiplied in bfloat16."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_exact = ContextVar("exact", default=False)


def multiplies_halves() -> bool:
    """Whether this processor has instructions for products in bfloat16; without them they cost more than they save.

    Releases of torch that cannot tell (before 2.13) count as a processor without.
    """
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def halves(device: torch.device) -> bool:
    """Whether products are halved there: on a CPU that has instructions for them, but not where runs have to agree."""
    return device.type == "cpu" and multiplies_halves() and not _exact.get()


@contextmanager
def halved(device: torch.device) -> Iterator[None]:
    """Products in bfloat16 inside, where that pays; on any other device nothing changes."""
    with torch.autocast("cpu", torch.bfloat16, enabled=halves(device)):
        yield


@contextmanager
def exact() -> Iterator[None]:
    """Nothing is halved inside: runs on several processes have to agree to the last digits."""
    token = _exact.set(True)
    try:
        yield
    finally:
        _exact.reset(token)
