"""The bench's story: read the matrix, plan the items, run what has not run, make the tables."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auditor.bench.matrix import Matrix, load_matrix
from auditor.bench.plan import plan
from auditor.bench.store import ROWS, RUNS, Store
from auditor.bench.work import BenchWork
from auditor.case import Options, check_device, describe_environment, describe_versions, now
from auditor.cluster.fleet import Hooks, run_fleet
from auditor.cluster.items import Item, split_by_need
from auditor.cluster.log import Row, read_rows
from auditor.cluster.pools import InProcess, Pool, Processes, RayPool, Resources
from auditor.errors import UsageError

Told = Callable[[Row, int, int], None]
"""Hears of every row, with the number of items that stand and of all."""


@dataclass(frozen=True)
class BenchOptions:
    """How a bench is run; `pool` is ray, processes (of this machine) or none: one item after another, right here."""

    out: Path
    pool: str = "ray"
    workers: int = 2
    threads: int = 1
    address: str | None = None
    device: str = "cpu"
    attempts: int = 3
    keep_models: bool = True
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """How the planned items stand: counts by kind and status; `left` have to run; the bases of `waiting` are not there
    yet."""

    counts: dict[str, Counter[str]]
    left: int
    waiting: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return all(set(counter) <= {"ok"} for counter in self.counts.values())


def prepare(path: Path) -> tuple[Matrix, list[Item]]:
    """The matrix and its items; every plant's specification is checked before anything runs."""
    matrix = load_matrix(path)
    items = plan(matrix)
    check_specs(path, matrix, items)
    return matrix, items


def check_specs(path: Path, matrix: Matrix, items: Sequence[Item]) -> None:
    """Raises UsageError that names the attack or negative whose specification cannot be used."""
    from auditor.attacks.spec import parse_spec
    from auditor.bench.bases import base_folder

    for architecture in matrix.architectures:
        base_folder(architecture)
    for name, spec in {item.settings["name"]: item.settings["spec"] for item in items}.items():
        parse_spec(dict(spec), Path(f"{path}, attack or negative {name!r}"))


def standing(items: Sequence[Item], out: Path, attempts: int) -> Standing:
    """What is done already, by kind, from the rows in `out`."""
    pending, stands = split_by_need(items, read_rows(out / ROWS), attempts)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in ("plant", "detect", "repair")}
    for item in items:
        counts[item.settings["kind"]][stands.get(item.key, "to do")] += 1
    return Standing(counts, len(pending), tuple(waiting_architectures(items)))


def waiting_architectures(items: Sequence[Item]) -> list[str]:
    """Planned architectures whose base has not been made yet: their items stay to do, they do not fail."""
    from auditor.bench.bases import base_folder

    planned = dict.fromkeys(item.settings["architecture"] for item in items)
    return [architecture for architecture in planned if not (base_folder(architecture) / "config.json").is_file()]


def run_bench(path: Path, options: BenchOptions, told: Told) -> Standing:
    """Runs what is left of a matrix into `options.out`; killed at any moment, the same call goes on.

    Raises UsageError for a bad matrix, a missing Ray, an absent device, or an `out` that another process writes to.
    """
    matrix, items = prepare(path)
    check_device(Options(device=options.device))
    run = _note_run(path, matrix, options)
    store = Store(options.out.absolute())
    hooks = Hooks(store.has_product, (lambda item: None) if options.keep_models else store.drop_model, told)
    work = BenchWork(store.root, options.device, options.threads)
    pool = open_pool(options)
    waiting = waiting_architectures(items)
    ready = [item for item in items if item.settings["architecture"] not in waiting]
    try:
        run_fleet(ready, work, options.out / ROWS, pool, options.attempts, hooks, {"run": run})
    finally:
        pool.close()
    return standing(items, options.out, options.attempts)


def open_pool(options: BenchOptions) -> Pool:
    if options.pool == "none":
        return InProcess()
    if options.pool == "processes":
        return Processes(options.workers)
    gpus = 0.0
    if options.device.startswith("cuda"):
        import torch

        gpus = min(1.0, torch.cuda.device_count() / options.workers)
    return RayPool(Resources(options.workers, options.threads, gpus, options.address))


def _note_run(path: Path, matrix: Matrix, options: BenchOptions) -> str:
    """One line a run: the command, the matrix by digest, versions and device; and a copy of the matrix. Returns the
    name that rows call the run by. UsageError when the folder belongs to another matrix."""
    content, known = path.read_bytes(), options.out / RUNS
    before = [json.loads(line) for line in known.read_text().splitlines()] if known.is_file() else []
    others = [run["matrix"] for run in before if run["matrix"] != matrix.name]
    if others:
        raise UsageError(
            "this folder belongs to another matrix", where=str(options.out), got=others[0], expected=matrix.name,
            todo="choose another --out",
        )  # fmt: skip
    name = f"run-{len(before)}"
    about: dict[str, Any] = {
        "run": name, "command": list(options.command), "created": now(), "matrix": matrix.name,
        "matrix_sha256": hashlib.sha256(content).hexdigest(), "versions": describe_versions(),
        "environment": describe_environment(Options(device=options.device)).model_dump(),
        "options": {name: str(value) for name, value in asdict(options).items() if name != "command"},
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    with known.open("a", encoding="utf-8") as file:
        file.write(json.dumps(about, sort_keys=True, ensure_ascii=False) + "\n")
    (options.out / "matrix.toml").write_bytes(content)
    return name
