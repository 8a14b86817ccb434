"""Runs keyed items, in order and as their needs allow, and appends a row for each; after a kill the next run goes on.

Every planned item ends ok, error or skipped (because something it needs has failed), and none is dropped. Finished
items never run again; errors are tried again on the next run, up to a limit; skipped items whenever their needs can
be met.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.cluster.items import Item, count_errors, split_by_need
from auditor.cluster.log import Log, Row, read_rows
from auditor.cluster.pools import Pool, Work
from auditor.errors import InternalError


@dataclass(frozen=True)
class Hooks:
    """What a fleet asks its owner: is a finished item's product still there, and which products nobody needs any more;
    `ended` hears of every row, with the number of items that stand and of all."""

    intact: Callable[[Item], bool] = lambda item: True
    free: Callable[[Item], None] = lambda item: None
    ended: Callable[[Row, int, int], None] = lambda row, done, planned: None


@dataclass
class _State:
    """What is to do and how the rest stands; changed by the loop alone."""

    items: dict[str, Item]
    pending: list[Item]
    stands: dict[str, str]
    errors: dict[str, int]
    running: set[str] = field(default_factory=set)

    @property
    def done(self) -> int:
        return len(self.stands)


def run_fleet(
    items: Sequence[Item], work: Work, log: Path, pool: Pool, attempts: int = 2, hooks: Hooks | None = None,
    about: dict[str, Any] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Runs what has not ended yet; returns how every item stands. `about` is written into every new row.

    Raises UsageError when another process runs this log, DataError when the log is damaged.
    """
    hooks = hooks or Hooks()
    with Log(log) as opened:
        state = _resume(items, read_rows(log), attempts, hooks)
        while state.pending or state.running:
            _write(opened, _skip_hopeless(state), state, hooks, about)
            _submit_ready(state, work, pool)
            if state.running:
                item, row = pool.wait()
                state.running.remove(item.key)
                _write(opened, [(item, row)], state, hooks, about)
        return state.stands


def _resume(items: Sequence[Item], rows: Sequence[Row], attempts: int, hooks: Hooks) -> _State:
    by_key = {item.key: item for item in items}
    if len(by_key) != len(items):
        raise InternalError("two items of a fleet share a key", got=f"{len(items)} items, {len(by_key)} keys")
    pending, stands = split_by_need(items, rows, attempts)
    again = _lost(pending, by_key, stands, hooks)
    stands = {key: status for key, status in stands.items() if key not in again}
    wanted = again | {item.key for item in pending}
    return _State(by_key, [item for item in items if item.key in wanted], stands, count_errors(items, rows))


def _lost(pending: Iterable[Item], items: dict[str, Item], stands: dict[str, str], hooks: Hooks) -> set[str]:
    """Finished items whose product is gone though something that has to run needs it, and what those need in turn."""
    lost: set[str] = set()
    queue = [key for item in pending for key in item.needs]
    while queue:
        key = queue.pop()
        if key not in lost and stands.get(key) == "ok" and not hooks.intact(items[key]):
            lost.add(key)
            queue += items[key].needs
    return lost


def _skip_hopeless(state: _State) -> list[tuple[Item, Row]]:
    """Pending items of which a need has failed; they leave `pending`."""
    skipped: list[tuple[Item, Row]] = []
    left: list[Item] = []
    for item in state.pending:
        failed = [key for key in item.needs if state.stands.get(key) in ("error", "skipped")]
        if failed:
            told = {"type": "NeedFailed", "message": f"{failed[0]} ended {state.stands[failed[0]]}"}
            state.stands[item.key] = "skipped"
            skipped.append((item, {"status": "skipped", "error": told, "seconds": 0.0, "host": None}))
        else:
            left.append(item)
    state.pending = left
    return skipped


def _submit_ready(state: _State, work: Work, pool: Pool) -> None:
    """Fills the pool with the first items whose needs have all ended well."""
    left: list[Item] = []
    for item in state.pending:
        free_slot = len(state.running) < pool.slots
        if free_slot and all(state.stands.get(key) == "ok" for key in item.needs):
            pool.submit(work, item)
            state.running.add(item.key)
        else:
            left.append(item)
    if not state.running and left and not any(_can_be_skipped(state, item) for item in left):
        raise InternalError("items wait for each other", got=", ".join(item.key for item in left[:4]))
    state.pending = left


def _can_be_skipped(state: _State, item: Item) -> bool:
    return any(state.stands.get(key) in ("error", "skipped") for key in item.needs)


def _write(
    log: Log, ended: Sequence[tuple[Item, Row]], state: _State, hooks: Hooks, about: dict[str, Any] | None
) -> None:
    for item, row in ended:
        state.stands[item.key] = row["status"]
        if row["status"] == "error":
            state.errors[item.key] += 1
        whole = {**(about or {}), **row, "key": item.key, "digest": item.digest, "errors": state.errors[item.key]}
        log.append([whole])
        hooks.ended(whole, state.done, len(state.items))
        _free_what_nobody_needs(item, state, hooks)


def _free_what_nobody_needs(item: Item, state: _State, hooks: Hooks) -> None:
    waited_for = {key for other in state.pending for key in other.needs}
    waited_for |= {key for running in state.running for key in state.items[running].needs}
    for key in (*item.needs, item.key):
        if key not in waited_for and state.stands.get(key) == "ok":
            hooks.free(state.items[key])
