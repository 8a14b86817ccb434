import pickle
import sys
from pathlib import Path

import pytest

from auditor.bench.work import BenchWork
from auditor.cluster.items import Item
from auditor.cluster.pools import attempt, describe, import_ray
from auditor.errors import UsageError


def test_without_ray_the_way_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError) as caught:
        import_ray()
    assert "pip install 'pcr-audit[bench]'" in str(caught.value) and caught.value.exit_code == 4


def test_an_error_of_ours_explains_itself_and_another_says_where() -> None:
    ours = describe(UsageError("is wrong", where="matrix.toml:3", got="x"))
    assert ours["message"].startswith("matrix.toml:3: is wrong") and "trace" not in ours
    row = attempt(lambda item: {"n": 1 / 0}, Item("a"))
    assert row["status"] == "error" and row["error"]["type"] == "ZeroDivisionError"
    assert "test_pools.py" in row["error"]["trace"] and row["seconds"] >= 0


def test_a_result_carries_its_seconds_and_host() -> None:
    row = attempt(lambda item: {"key": item.key}, Item("a"))
    assert row["status"] == "ok" and row["result"] == {"key": "a"} and row["host"]


def test_the_work_of_a_bench_travels() -> None:
    work = BenchWork(Path("somewhere"), "cpu", 2)
    assert pickle.loads(pickle.dumps(work)) == work
