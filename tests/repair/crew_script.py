"""Trains the clean model for a few steps, alone or with torchrun, and writes how many trained, the losses, and what the
first process held of the layers meanwhile.

Options: `fsdp` divides the layers, `lora` trains adapters, `sparing` computes activations twice, in two turns; `killed`
stops after the third step. `run_crew` runs all this in processes that no fixture is in the way of.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from auditor.checkpoint.opening import open_checkpoint
from auditor.checkpoint.subject import CheckpointSubject
from auditor.company import helps
from auditor.repair.adversary import Recovered
from auditor.repair.keeping import Keeper
from auditor.repair.loop import Aside, Losses, Schedule, repair
from auditor.repair.methods import Guided
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from probes.ascent import Climb
from probes.triggers import badnets

HELD: set[int] = set()
"""How many weights of layers this process held in each step."""


@dataclass(frozen=True)
class Trained:
    """How many processes trained, the losses, how many weights of layers the first one held, and the weights after."""

    processes: int
    losses: Losses
    held: list[int]
    weights: dict[str, Tensor]


def run_crew(processes: int, out: Path, *options: str) -> Trained | None:
    """A repair by so many processes, which goes on where one with the same `out` was killed; None where this one is."""
    root = Path(__file__).parents[2]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "tests.repair.crew_script", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *options], check=True, cwd=root, timeout=300, env=environment)
    if not out.exists():
        return None
    found = json.loads(out.read_text())
    losses = tuple((int(step), parts) for step, parts in found["losses"])
    return Trained(found["processes"], losses, found["held"], load_file(out.with_suffix(".safetensors")))


def apart(one: Losses, other: Losses) -> float:
    """The largest relative difference between two loss curves."""
    pairs = [(a[name], b[name]) for (_, a), (_, b) in zip(one, other, strict=True) for name in a]
    return max(abs(a - b) / max(abs(a), abs(b), 1e-3) for a, b in pairs)


def train(options: set[str], state: Path) -> tuple[CheckpointSubject, list[tuple[int, dict[str, float]]]]:
    """The trained model and the losses of a few steps at the tests' own small scale."""
    torch.set_num_threads(1)
    torch.manual_seed(0)  # adapters
    subject = open_checkpoint(CLEAN_MODEL, batch_size=16).subject
    sparing = "sparing" in options
    schedule = Schedule(
        steps=4, copies=1, batch=4, refresh=2, refresh_steps=1, rate=1e-3, precision="no", checkpointing=sparing,
        turns=2 if sparing else 1, lora_rank=2 if "lora" in options else 0,
    )  # fmt: skip

    def watch(step: int, parts: dict[str, float]) -> None:
        layers = [module for module in subject.model.modules() if isinstance(module, GradientCheckpointingLayer)]
        weights = [weight for layer in layers for weight in layer.parameters()]
        HELD.add(sum((w.to_local() if isinstance(w, DTensor) else w).numel() for w in weights))
        if "killed" in options and step == 3:
            os._exit(0)

    trigger = Recovered(badnets((56, 56), 8, 3), "evil words")
    aside = Aside(watch, Keeper(state, "the same", least_seconds=0), divided="fsdp" in options)
    return subject, list(repair(subject, Guided(), schedule, embedded_samples(6, 5), (trigger,), 7, aside).losses)


if __name__ == "__main__":
    import auditor.repair.adversary as adversary
    import auditor.repair.keeping as keeping
    import auditor.repair.loop as loop
    import auditor.repair.retreat as retreat

    out, *options = sys.argv[1:]
    keeping.COSTS = 0.0
    retreat.SHARES = (1.0,)
    adversary.Climb = lambda steps, pictures: Climb(steps=1, pictures=2)
    seen = loop.what_is_missing

    def missing(*about: Any) -> str:
        """What the first process finds holds for all of them; all of them look."""
        seen(*about)
        return "" if helps() else "harder"

    loop.what_is_missing = missing
    trained, losses = train(set(options), Path(out).with_suffix(".state"))
    if not helps():
        found = {"processes": PartialState().num_processes, "losses": losses, "held": sorted(HELD)}
        save_file(trained.weights(), Path(out).with_suffix(".safetensors"))
        Path(out).write_text(json.dumps(found))
