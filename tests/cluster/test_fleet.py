import json
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from auditor.cluster.fleet import Hooks, run_fleet
from auditor.cluster.items import Item
from auditor.cluster.log import Log, read_rows
from auditor.cluster.pools import InProcess, Processes
from auditor.errors import DataError, InternalError, UsageError
from tests.cluster.fake import chain, work

ROOT = Path(__file__).parents[2]


def run(items: list[Item], folder: Path, **options: Any) -> dict[str, str]:
    return run_fleet(items, work, folder / "log.jsonl", InProcess(), **options)


def starts(folder: Path) -> Counter[str]:
    return Counter((folder / "starts").read_text().splitlines())


def test_every_item_runs_once_after_what_it_needs(tmp_path: Path) -> None:
    items = chain(tmp_path, 3)
    assert set(run(items, tmp_path).values()) == {"ok"}
    order = (tmp_path / "starts").read_text().splitlines()
    assert all(order.index(need) < order.index(item.key) for item in items for need in item.needs)
    assert order == [item.key for item in items]
    run(items, tmp_path)
    assert starts(tmp_path) == Counter(item.key for item in items)
    assert {row["status"] for row in read_rows(tmp_path / "log.jsonl")} == {"ok"}


def test_needs_may_come_later_in_the_order(tmp_path: Path) -> None:
    assert set(run(chain(tmp_path, 2)[::-1], tmp_path).values()) == {"ok"}


def test_an_error_is_a_row_is_tried_again_up_to_the_limit_and_skips_its_dependents(tmp_path: Path) -> None:
    broken, leaf, *others = chain(tmp_path, 2)
    items = [Item(broken.key, {**broken.settings, "fails": 2}), leaf, *others]
    first = run(items, tmp_path, attempts=3)
    assert first[broken.key] == "error" and first[leaf.key] == "skipped" and first["root/1"] == "ok"
    row = next(row for row in read_rows(tmp_path / "log.jsonl") if row["key"] == broken.key)
    assert row["error"]["type"] == "ValueError" and "root/0 is broken" in row["error"]["message"]
    assert run(items, tmp_path, attempts=2)[broken.key] == "error"
    assert starts(tmp_path)[broken.key] == 2
    assert run(items, tmp_path, attempts=2)[broken.key] == "error"  # used up: not tried again
    assert starts(tmp_path)[broken.key] == 2
    assert set(run(items, tmp_path, attempts=3).values()) == {"ok"}
    assert starts(tmp_path)[leaf.key] == 1 and starts(tmp_path)["root/1"] == 1


def test_other_settings_run_again_and_the_old_row_stands_for_nothing(tmp_path: Path) -> None:
    item = Item("a", {"marks": str(tmp_path)})
    run([item], tmp_path)
    run([Item("a", {"marks": str(tmp_path), "sleep": 0.001})], tmp_path)
    assert starts(tmp_path)["a"] == 2


def test_a_product_that_is_gone_is_made_again_only_for_who_needs_it(tmp_path: Path) -> None:
    items = chain(tmp_path, 2)
    run(items, tmp_path)
    late = Item("leaf/0/c", items[0].settings, ("root/0",))
    run([*items, late], tmp_path, hooks=Hooks(intact=lambda item: False))
    counted = starts(tmp_path)
    assert (counted["root/0"], counted["root/1"], counted["leaf/0/a"], counted["leaf/0/c"]) == (2, 1, 1, 1)


def test_a_product_is_freed_when_nobody_needs_it_any_more(tmp_path: Path) -> None:
    told: list[str] = []
    hooks = Hooks(free=lambda item: told.append(f"free {item.key}"), ended=lambda row, *_: told.append(row["key"]))
    run(chain(tmp_path, 1), tmp_path, hooks=hooks)
    roots = [line for line in told if "leaf/0/a" not in line]
    assert roots == ["root/0", "leaf/0/b", "free root/0", "free leaf/0/b"]


def test_a_torn_last_line_is_dropped_and_its_item_runs_again(tmp_path: Path) -> None:
    items = chain(tmp_path, 1)
    run(items, tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    assert set(run(items, tmp_path).values()) == {"ok"}
    assert len(read_rows(log)) == 3 and starts(tmp_path)[items[-1].key] == 2


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    run(chain(tmp_path, 1), tmp_path)
    log = tmp_path / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(lines[0] + '{"key": 3}\n' + lines[2])
    with pytest.raises(DataError, match=r"log\.jsonl:2"):
        run(chain(tmp_path, 1), tmp_path)


def test_two_processes_cannot_share_a_log(tmp_path: Path) -> None:
    with Log(tmp_path / "log.jsonl"), pytest.raises(UsageError, match="another process"):
        run(chain(tmp_path, 1), tmp_path)


def test_a_circle_and_two_equal_keys_are_our_own_mistakes(tmp_path: Path) -> None:
    settings = {"marks": str(tmp_path)}
    with pytest.raises(InternalError, match="wait for each other"):
        run([Item("a", settings, ("b",)), Item("b", settings, ("a",))], tmp_path)
    with pytest.raises(InternalError, match="share a key"):
        run([Item("a", settings), Item("a", settings)], tmp_path)


def driver(folder: Path, pool: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.cluster.fake", str(folder), pool]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def killed_and_continued(folder: Path, pool: str, items: int) -> Counter[str]:
    """Kills a driver in the middle and starts it again; returns how often each item was started."""
    log = folder / "log.jsonl"
    first = driver(folder, pool)
    assert first.stdout is not None
    heard = [json.loads(first.stdout.readline()) for _ in range(4)]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    kept = [row["key"] for row in read_rows(log)]
    assert kept[:4] == heard and len(kept) < items
    second = driver(folder, pool)
    said, _ = second.communicate(timeout=250)
    assert second.returncode == 0
    told = [line for line in said.splitlines() if line.startswith("[") or line.startswith('"')]  # Ray speaks up too
    assert len(told) == items - len(kept)
    rows = read_rows(log)
    assert len({row["key"] for row in rows}) == len(rows) == items
    assert {row["status"] for row in rows} == {"ok"}
    counted = starts(folder)
    assert all(counted[key] == 1 for key in kept)
    return counted


@pytest.mark.timeout(400)
def test_a_fleet_on_ray_survives_a_killed_driver_and_a_dead_worker(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    counted = killed_and_continued(tmp_path, "ray", 13)
    assert counted["dies"] == 2  # its worker died once; Ray tried again


def test_a_fleet_of_processes_survives_a_killed_driver(tmp_path: Path) -> None:
    killed_and_continued(tmp_path, "processes", 12)


def test_a_process_that_dies_is_an_error_row_and_the_others_go_on(tmp_path: Path) -> None:
    settings = {"marks": str(tmp_path)}
    items = [Item("dies", {**settings, "dies": 1}), *(Item(f"lives/{n}", {**settings, "sleep": 0.1}) for n in range(4))]
    pool = Processes(2)
    found = run_fleet(items, work, tmp_path / "log.jsonl", pool, attempts=3)
    assert list(found.values()).count("error") <= 2 and len(found) == 5
    assert set(run_fleet(items, work, tmp_path / "log.jsonl", pool, attempts=3).values()) == {"ok"}
    pool.close()


def test_a_pool_whose_process_has_died_takes_the_next_item(tmp_path: Path) -> None:
    pool = Processes(1)
    pool.submit(work, Item("dies", {"marks": str(tmp_path), "dies": 1}))
    wait(pool._running)
    pool.submit(work, Item("lives", {"marks": str(tmp_path)}))
    assert [pool.wait()[1]["status"] for _ in range(2)] == ["error", "ok"]
    pool.close()
