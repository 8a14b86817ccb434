"""What a repair keeps on disk while it trains, so that one that was killed ends with the weights of an unbroken one."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from auditor.company import helps
from auditor.repair.adversary import Climbed
from auditor.repair.sharding import like, whole
from auditor.runs import numbers_and_values, rebuild_trigger
from reports.files import write_atomically

LEAST_SECONDS = 15.0
COSTS = 20.0
"""A state is kept again after this many times the seconds that keeping it took, at the earliest."""


@dataclass
class State:
    """Where the training stands after `step` steps: everything that does not follow from seed and data. `laps` says why
    the steps are gone through, each time."""

    step: int
    losses: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    climbed: list[Climbed] = field(default_factory=list)
    laps: list[str] = field(default_factory=lambda: ["first"])


class Keeper:
    """One file, replaced as a whole; a state of another `identity` (model, data, settings, seed) is not taken up."""

    def __init__(self, path: Path, identity: str, least_seconds: float = LEAST_SECONDS) -> None:
        self.path, self.identity = path, identity
        self.wait, self.last = least_seconds, time.monotonic()
        self.least = least_seconds

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the latest state."""
        return time.monotonic() - self.last >= self.wait

    def keep(self, state: State, parameters: Sequence[Tensor], optimiser: Any) -> None:
        """Writes the state; called by every process, of which the first writes."""
        began = time.monotonic()
        tensors = {f"parameter.{n}": _on_cpu(p.detach()) for n, p in enumerate(parameters)}
        for number, entry in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": _on_cpu(value) for name, value in entry.items()}
        if helps():
            return
        about = []
        for number, (origin, trigger) in enumerate(state.climbed):
            numbers, values = numbers_and_values(trigger)
            about.append((origin, numbers))
            tensors |= {} if values is None else {f"climbed.{number}": _on_cpu(values)}
        metadata = {
            "identity": self.identity, "step": str(state.step), "losses": json.dumps(state.losses),
            "climbed": json.dumps(about), "laps": json.dumps(state.laps),
        }  # fmt: skip
        write_atomically(self.path, save(tensors, metadata))
        self.last = time.monotonic()
        self.wait = max(self.least, COSTS * (self.last - began))

    def take_up(self, parameters: Sequence[Tensor], optimiser: Any) -> State:
        """Brings parameters and optimiser to the kept state and returns the rest of it; step 0 where there is none."""
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                if about.get("identity") != self.identity:
                    return State(0)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError):
            return State(0)
        for number, parameter in enumerate(parameters):
            parameter.data.copy_(like(tensors[f"parameter.{number}"], parameter))
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, number, *rest = name.split(".")
            if kind == "optimiser":
                of = parameters[int(number)]
                entries.setdefault(int(number), {})[rest[0]] = like(value, of) if value.shape == of.shape else value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": entries})
        climbed = [
            (int(origin), rebuild_trigger(numbers, tensors.get(f"climbed.{number}")))
            for number, (origin, numbers) in enumerate(json.loads(about["climbed"]))
        ]
        losses = [(int(step), parts) for step, parts in json.loads(about["losses"])]
        return State(int(about["step"]), losses, climbed, json.loads(about["laps"]))

    def forget(self) -> None:
        """The work is done and exported."""
        self.path.unlink(missing_ok=True)


def _on_cpu(tensor: Tensor) -> Tensor:
    return whole(tensor).cpu().contiguous()
