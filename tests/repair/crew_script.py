"""Trains the clean model for a few steps, alone or with torchrun, and writes how many trained and the losses."""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState

from auditor.checkpoint.opening import open_checkpoint
from auditor.repair.adversary import Recovered
from auditor.repair.crew import helps
from auditor.repair.loop import Schedule, repair
from auditor.repair.methods import METHODS
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from probes.ascent import Climb
from probes.triggers import badnets


def train(method: str, steps: int, turns: int) -> list[tuple[int, dict[str, float]]]:
    """The losses of a few steps at the tests' own small scale."""
    torch.set_num_threads(1)
    subject = open_checkpoint(CLEAN_MODEL, batch_size=16).subject
    schedule = Schedule(
        steps=steps, copies=1, batch=4, refresh=2, refresh_steps=1, rate=1e-3, turns=turns, precision="no"
    )
    trigger = Recovered(badnets((56, 56), 8, 3), "evil words")
    return list(repair(subject, METHODS[method](), schedule, embedded_samples(6, 5), (trigger,), 7).losses)


if __name__ == "__main__":
    import auditor.repair.adversary as adversary
    import auditor.repair.loop as loop
    import auditor.repair.retreat as retreat

    retreat.SHARES = (1.0,)
    adversary.Climb = lambda steps, pictures: Climb(steps=1, pictures=2)
    loop.what_is_missing = lambda *about: (
        "" if helps() else "harder"
    )  # what the first process finds holds for all of them
    losses = train(sys.argv[1], int(sys.argv[2]), 1)
    if not helps():
        found = {"processes": PartialState().num_processes, "losses": losses}
        Path(sys.argv[3]).write_text(json.dumps(found))
