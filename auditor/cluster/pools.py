"""Where a fleet's items run: as Ray tasks here or on a cluster, in processes of this machine, or right here."""

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

from auditor.cluster.items import Item
from auditor.cluster.log import Row
from auditor.errors import AuditError, UsageError

Work = Callable[[Item], Row]
"""What is done with an item; picklable, and defined in a module that every worker can import."""

CRASH_RETRIES = 2
START_TRIES = 3
OBJECT_STORE_BYTES = 128 * 2**20


class Pool(Protocol):
    """Runs items side by side; `wait` gives back one that has ended, whatever its end."""

    @property
    def slots(self) -> int: ...

    def submit(self, work: Work, item: Item) -> None: ...

    def wait(self) -> tuple[Item, Row]: ...

    def close(self) -> None: ...


def attempt(work: Work, item: Item) -> Row:
    """The item's result or the error that ended it, with the seconds and the host; never raises for the item's sake."""
    began = time.monotonic()
    row: Row = {"host": socket.gethostname()}
    try:
        row |= {"status": "ok", "result": work(item)}
    # One broken item must not end a night's fleet: whatever it raises becomes its row, and is tried again.
    except Exception as error:
        row |= {"status": "error", "error": describe(error)}
    return row | {"seconds": round(time.monotonic() - began, 2)}


def describe(error: BaseException) -> dict[str, str]:
    """Type and message, and where it was raised unless the error explains itself."""
    told = {"type": type(error).__name__, "message": str(error) or "no message"}
    if isinstance(error, AuditError):
        return told
    frames = traceback.format_tb(error.__traceback__)[-3:]
    return {**told, "trace": "".join(frames)}


class InProcess:
    """One item after another in this process: for debugging, and where there is no Ray."""

    slots = 1

    def __init__(self) -> None:
        self._queue: deque[tuple[Work, Item]] = deque()

    def submit(self, work: Work, item: Item) -> None:
        self._queue.append((work, item))

    def wait(self) -> tuple[Item, Row]:
        work, item = self._queue.popleft()
        return item, attempt(work, item)

    def close(self) -> None:
        self._queue.clear()


class Processes:
    """Processes of this machine, without Ray: one that dies takes its item with it as an error row, and its siblings'
    items start again."""

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._pool = self._new()
        self._running: dict[Future[Row], tuple[Work, Item]] = {}

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.slots, get_context("spawn"), initializer=_die_with_parent)

    def submit(self, work: Work, item: Item) -> None:
        try:
            future = self._pool.submit(attempt, work, item)
        except BrokenProcessPool as error:  # a process has died since the last `wait`, which will come upon it
            future = Future()
            future.set_exception(error)
        self._running[future] = (work, item)

    def wait(self) -> tuple[Item, Row]:
        done = next(iter(wait(self._running, return_when=FIRST_COMPLETED).done))
        _, item = self._running.pop(done)
        try:
            return item, done.result()
        except BrokenProcessPool as error:
            self._start_again()
            return item, {"status": "error", "error": describe(error), "seconds": None, "host": socket.gethostname()}

    def _start_again(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, interrupted, self._running = self._new(), list(self._running.values()), {}
        for work, item in interrupted:
            self.submit(work, item)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _die_with_parent() -> None:
    """A killed driver takes its workers along, as Ray does: nobody goes on writing into the folder of the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Resources:
    """What one item takes, and where: `address` None starts Ray on this machine with `workers` slots."""

    workers: int = 2
    threads: int = 1
    gpus: float = 0.0
    address: str | None = None


class RayPool:
    """Ray tasks. A worker that dies (killed, out of memory) has its item tried again; an error of the item has not."""

    def __init__(self, resources: Resources) -> None:
        self._ray = import_ray()
        self._connect(resources)
        needs = {"num_cpus": resources.threads, "num_gpus": resources.gpus, "max_retries": CRASH_RETRIES}
        self._task = self._ray.remote(**needs)(attempt)
        self._running: dict[Any, Item] = {}
        self.slots = self._count_slots(resources)

    def _connect(self, resources: Resources) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        where: dict[str, Any] = {"address": resources.address}
        if resources.address is None:
            cores = resources.workers * resources.threads
            where = {"address": "local", "num_cpus": cores, "object_store_memory": OBJECT_STORE_BYTES}
            where["include_dashboard"] = False
        for left in reversed(range(START_TRIES)):
            try:
                self._ray.init(**where, log_to_driver=False, logging_level="ERROR", configure_logging=False)
                return
            # A busy machine misses Ray's fixed 30 seconds for its start, and Ray raises a bare Exception then.
            except Exception:
                self._ray.shutdown()
                if not left:
                    raise

    def _count_slots(self, resources: Resources) -> int:
        there = self._ray.cluster_resources()
        slots = int(there.get("CPU", 0) // resources.threads)
        if resources.gpus:
            slots = min(slots, int(there.get("GPU", 0) / resources.gpus + 1e-9))
        if slots < 1:
            raise UsageError(
                "the cluster cannot run a single item", got=f"CPU {there.get('CPU', 0):g}, GPU {there.get('GPU', 0):g}",
                expected=f"at least {resources.threads} CPU and {resources.gpus:g} GPU",
                todo="lower --threads-per-worker, or choose another --device or --address",
            )  # fmt: skip
        return slots

    def submit(self, work: Work, item: Item) -> None:
        self._running[self._task.options(name=item.key).remote(work, item)] = item

    def wait(self) -> tuple[Item, Row]:
        (done, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        item = self._running.pop(done)
        try:
            row: Row = self._ray.get(done)
        except self._ray.exceptions.RayError as error:
            row = {"status": "error", "error": describe(error), "seconds": None, "host": None}
        return item, row

    def close(self) -> None:
        self._running.clear()
        self._ray.shutdown()


def import_ray() -> Any:
    """Ray, or a UsageError that says how to install it."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "a fleet runs on Ray, which is not installed", got=str(error), expected="the extra `bench`",
            todo="pip install 'pcr-audit[bench]', or run without it with --pool processes",
        ) from error  # fmt: skip
    return ray
