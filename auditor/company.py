"""The processes that a launcher (torchrun) started for one command: the first speaks and writes, the others help."""

import atexit
import os


def company() -> int:
    """How many processes work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def helps() -> bool:
    """Whether this process only helps another one: it writes nothing and says nothing."""
    return int(os.environ.get("RANK", "0")) > 0


def own_device(device: str) -> str:
    """The device of this process: with `cuda`, each of several processes has a GPU of its own."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if company() > 1 and device == "cuda" else device


def part_at_the_end() -> None:
    """Has the processes stay connected until they exit, however often this is called.

    Disconnected right after they have agreed on something, they were seen to wait for each other for ever (gloo, two
    processes, torch 2.13).
    """
    atexit.unregister(_part)
    atexit.register(_part)


def _part() -> None:
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
