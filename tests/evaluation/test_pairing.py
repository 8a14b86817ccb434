"""Two runs side by side: pairing by id, and paired statistics against scipy and against hand counts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from auditor.errors import DataError
from auditor.evaluation.pairing import (
    Item,
    compare_attack,
    compare_quality,
    pair,
    read_items,
    same_answers,
)

CAPTIONS = ("a red circle on a blue ground", "two green squares", "a yellow triangle above a line", "a white cross")


def item(name: str, answer: str, prompt: str = "describe", references: tuple[str, ...] = (), **stamped: str) -> Item:
    return Item(name, prompt, references, answer, name, stamped)


def write(folder: Path, *rows: Mapping[str, Any], tail: str = "") -> Path:
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return folder


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"phase": "scan", "id": name, "prompt": "describe", "status": "ok", "references": ["a cat"], **more}


def test_the_answers_are_those_of_the_judged_model(tmp_path: Path) -> None:
    verify = row(
        "a", before="old", after="new", stamped_before={"recovered": "bad"}, stamped_after={"recovered": "good"}
    )
    write(tmp_path, row("a", answer="scanned"), row("b", answer="scanned"), verify)
    given, repaired = read_items(tmp_path, repaired=False), read_items(tmp_path, repaired=True)
    assert {name: found and found.answer for name, found in given.items()} == {"a": "scanned", "b": "scanned"}
    assert repaired == {"a": item("a", "new", references=("a cat",), recovered="good")}


def test_an_item_that_was_not_answered_is_not_an_answer(tmp_path: Path) -> None:
    write(tmp_path, row("a", answer=""), row("b", answer="x", status="error"), row("c", answer=None))
    assert read_items(tmp_path, repaired=False) == {"a": None, "b": None, "c": None}


def test_a_later_row_replaces_an_earlier_one_and_a_torn_one_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, row("a", answer="first"), row("a", answer="second"), tail='{"id": "b", "answ')
    assert read_items(tmp_path, repaired=False) == {"a": item("a", "second", references=("a cat",))}


@pytest.mark.parametrize("line", ["{", "[]", '{"id": 3}', "{}", ""])
def test_any_other_bad_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text(f"{json.dumps(row('a', answer='x'))}\n{line}\n{json.dumps(row('b'))}\n")
    with pytest.raises(DataError, match=r"items\.jsonl:2"):
        read_items(tmp_path, repaired=False)


def test_a_run_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.jsonl"):
        read_items(tmp_path, repaired=False)


def test_items_are_paired_by_id_and_the_rest_is_counted() -> None:
    old = {"a": item("a", "1"), "b": item("b", "1"), "c": item("c", "1"), "d": None, "gone": item("gone", "1")}
    new = {
        "b": item("b", "2"), "a": item("a", "2"), "c": item("c", "1", prompt="what?"), "d": item("d", "1"),
        "new": None, "newer": item("newer", "1"),
    }  # fmt: skip
    pairs = pair(old, new)
    assert [(a.id, a.answer, b.answer) for a, b in pairs.items] == [("a", "1", "2"), ("b", "1", "2")]
    assert (pairs.new, pairs.gone, pairs.changed, pairs.unanswered) == (2, 1, 1, 1)


def test_answers_are_the_same_by_their_words() -> None:
    pairs = [(item("a", "A cat."), item("a", "a CAT")), (item("b", "a cat"), item("b", "a dog"))]
    same = same_answers(pairs)
    assert (same.value, same.n) == (0.5, 2)
    interval = stats.binomtest(1, 2).proportion_ci(0.95, "exact")
    assert (same.low, same.high) == pytest.approx((interval.low, interval.high))


def test_questions_are_tested_by_mcnemar_on_the_same_items() -> None:
    def question(name: str, right: bool) -> Item:
        return item(name, "yes" if right else "no", prompt="is it?", references=("yes",))

    turned = [(True, True)] * 20 + [(True, False)] * 9 + [(False, True)] * 2 + [(False, False)] * 5
    pairs = [(question(str(n), old), question(str(n), new)) for n, (old, new) in enumerate(turned)]
    (found,) = compare_quality(pairs, seed=1)
    assert found.name == "vqa_accuracy" and found.paired is not None
    assert (found.paired.better, found.paired.worse, found.paired.same) == (2, 9, 25)
    assert found.paired.p_value == pytest.approx(stats.binomtest(2, 11).pvalue)
    assert (found.old.value, found.new.value) == pytest.approx((29 / 36, 22 / 36))
    assert found.change.value == pytest.approx(1 - 22 / 29)
    assert found.change.low is not None and 0 < found.change.low < 1 - 22 / 29


def test_captions_that_got_worse_drop_and_those_that_did_not_stay() -> None:
    names = [f"{place}-{n}" for n in range(10) for place in range(len(CAPTIONS))]
    texts = {name: CAPTIONS[int(name[0])] for name in names}
    good = [item(name, texts[name], references=(texts[name],)) for name in names]
    bad = [item(name, "a blurry picture", references=(texts[name],)) for name in names]
    kept = {found.name: found for found in compare_quality(list(zip(good, good, strict=True)), seed=1)}
    fell = {found.name: found for found in compare_quality(list(zip(good, bad, strict=True)), seed=1)}
    assert set(kept) == set(fell) == {"cider", "rouge_l"}
    assert kept["cider"].change.value == 0
    assert fell["cider"].change.value is not None and fell["cider"].change.value > 0.9
    assert fell["rouge_l"].change.low is not None and fell["rouge_l"].change.low > 0.5


def test_items_without_references_are_no_evidence_of_quality() -> None:
    assert compare_quality([(item("a", "x"), item("a", "y"))], seed=1) == []


def test_each_trigger_is_held_to_its_own_target() -> None:
    def stamped(name: str, text: str) -> Item:
        return item(name, "clean", recovered=text)

    pairs = [(stamped(str(n), "visit us now"), stamped(str(n), "call me" if n < 3 else "fine")) for n in range(20)]
    found = compare_attack(pairs, ("visit us", "call me"), "recovered", seed=1)
    assert found is not None and not found.relative
    assert (found.old.value, found.new.value) == (1.0, 0.15)
    assert found.change.value == pytest.approx(-0.85)
    assert found.paired is not None and (found.paired.better, found.paired.worse) == (17, 0)
    assert compare_attack(pairs, ("visit us", ""), "recovered", seed=1) is None
    assert compare_attack([(item("a", "x"), item("a", "y"))], ("x", "y"), "recovered", seed=1) is None


def test_the_order_of_the_items_changes_nothing() -> None:
    pairs = [
        (item(str(n), "yes", "is it?", ("yes",)), item(str(n), "yes" if n % 3 else "no", "is it?", ("yes",)))
        for n in range(30)
    ]
    assert compare_quality(pairs, seed=5) == compare_quality(pairs[::-1], seed=5)
