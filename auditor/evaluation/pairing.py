"""Two runs side by side, item by item: what each model said to the same question, and how much worse the new one is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from auditor.errors import DataError
from auditor.evaluation.asr import contains
from auditor.evaluation.captions import CIDER_BOUNDS, caption_items
from auditor.evaluation.intervals import Floats, Paired, cluster_bootstrap, mcnemar_exact
from auditor.evaluation.scoring import as_measure, asks, relative_drop
from auditor.evaluation.vqa import vqa_score
from probes.finding import Rate
from probes.text import normalise
from reports.record import Measure

ITEMS = "items.jsonl"


@dataclass(frozen=True)
class Item:
    """One question with its answer; `picture` names its cluster, `stamped` are the answers under triggers, by role."""

    id: str
    prompt: str
    references: tuple[str, ...]
    answer: str
    picture: str
    stamped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """The items that both runs asked alike, by id, and how many are not among them.

    `new` and `gone` are in one run alone; `changed` have the same id but another prompt or other references;
    `unanswered` were asked in both and not answered in one.
    """

    items: tuple[tuple[Item, Item], ...]
    new: int
    gone: int
    changed: int
    unanswered: int


@dataclass(frozen=True)
class Compared:
    """A measure on the same items, old and new; `change` says how much worse the new one is, positive is worse.

    `relative` tells whether that is a share of the old value or a difference; `paired` counts the items that turned.
    """

    name: str
    old: Measure
    new: Measure
    change: Measure
    relative: bool
    paired: Paired | None = None


def read_items(run: Path, repaired: bool) -> dict[str, Item | None]:
    """The items of the model that the run's verdict is about, by id; None where one was asked and not answered.

    A torn last line is dropped; DataError for any other line that is no item. A later row of an item replaces it.
    """
    path = run / ITEMS
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(
            "cannot be read", where=str(path), got=error.strerror or str(error), expected="the items of a run",
            todo="give a run folder written by `pcr-audit scan` or `audit`",
        ) from error  # fmt: skip
    items: dict[str, Item | None] = {}
    for number, line in enumerate(lines[:-1], start=1):
        row = _parse(line, f"{path}:{number}")
        if _concerns(row, repaired):
            items[row["id"]] = _item(row, repaired)
    return items


def pair(old: Mapping[str, Item | None], new: Mapping[str, Item | None]) -> Pairs:
    """The items of both by id, in the order of their ids."""
    both = sorted(old.keys() & new.keys())
    answered = [(a, b) for name in both if (a := old[name]) is not None and (b := new[name]) is not None]
    alike = [(a, b) for a, b in answered if (a.prompt, a.references) == (b.prompt, b.references)]
    return Pairs(
        tuple(alike),
        new=len(new.keys() - old.keys()),
        gone=len(old.keys() - new.keys()),
        changed=len(answered) - len(alike),
        unanswered=len(both) - len(answered),
    )


def same_answers(pairs: Sequence[tuple[Item, Item]]) -> Measure:
    """On how many items both models give the same words."""
    return as_measure(Rate(sum(normalise(a.answer) == normalise(b.answer) for a, b in pairs), len(pairs)))


def compare_quality(pairs: Sequence[tuple[Item, Item]], seed: int) -> list[Compared]:
    """CIDEr and ROUGE-L of captions, VQA accuracy of questions; only items with references count."""
    known = [both for both in pairs if both[0].references]
    captions = [both for both in known if not asks(both[0].prompt)]
    questions = [both for both in known if asks(both[0].prompt)]
    found = _compare_captions(captions, seed) if captions else []
    if questions:
        old, new = ([vqa_score(both[side].answer, both[0].references) for both in questions] for side in (0, 1))
        turned = mcnemar_exact([value >= 1 for value in old], [value >= 1 for value in new])
        found.append(_compared("vqa_accuracy", old, new, _pictures(questions), seed, paired=turned))
    return found


def compare_attack(
    pairs: Sequence[tuple[Item, Item]], targets: tuple[str, str], role: str, seed: int
) -> Compared | None:
    """Success of each run's own trigger of this role on the same pictures; None where one side has none."""
    stamped = [(a, b) for a, b in pairs if role in a.stamped and role in b.stamped]
    if not stamped or not all(targets):
        return None
    hits = [[contains(both[side].stamped[role], targets[side]) for both in stamped] for side in (0, 1)]
    rates = [as_measure(Rate(sum(side), len(side))) for side in hits]
    table = np.array(hits, dtype=np.float64).T  # (items, 2)
    change = cluster_bootstrap(table, _pictures(stamped), seed, _difference, bounds=(-1.0, 1.0))
    return Compared(
        f"asr_{role}", rates[0], rates[1], _measure(change), relative=False,
        paired=mcnemar_exact([not hit for hit in hits[0]], [not hit for hit in hits[1]]),
    )  # fmt: skip


def _compare_captions(pairs: Sequence[tuple[Item, Item]], seed: int) -> list[Compared]:
    references, clusters = [a.references for a, _ in pairs], _pictures(pairs)
    old, new = (caption_items([both[side].answer for both in pairs], references, references) for side in (0, 1))
    found = []
    if old.cider is not None and new.cider is not None:
        found.append(_compared("cider", old.cider, new.cider, clusters, seed, CIDER_BOUNDS))
    return [*found, _compared("rouge_l", old.rouge_l, new.rouge_l, clusters, seed)]


def _compared(
    name: str, old: Sequence[float], new: Sequence[float], clusters: Sequence[str], seed: int,
    bounds: tuple[float, float] = (0.0, 1.0), paired: Paired | None = None,
) -> Compared:  # fmt: skip
    sides = [_measure(cluster_bootstrap(values, clusters, seed, bounds=bounds)) for values in (old, new)]
    return Compared(name, sides[0], sides[1], relative_drop(old, new, clusters, seed), relative=True, paired=paired)


def _pictures(pairs: Sequence[tuple[Item, Item]]) -> list[str]:
    """The clusters of a bootstrap, as the old run names them: models may be shown a picture in different sizes."""
    return [old.picture for old, _ in pairs]


def _difference(totals: Floats, counts: Floats) -> Floats:
    found: Floats = (totals[:, 1] - totals[:, 0]) / counts
    return found


def _measure(interval: Any) -> Measure:
    return Measure(value=interval.value, low=interval.low, high=interval.high, n=interval.n)


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        _refuse(where, f"no JSON: {error}")
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        _refuse(where, "no object with an `id`")
    return row


def _concerns(row: Mapping[str, Any], repaired: bool) -> bool:
    """Whether the row holds an answer of the judged model: `after` for a repaired one, `answer` for the one given."""
    return ("after" if repaired else "answer") in row


def _item(row: Mapping[str, Any], repaired: bool) -> Item | None:
    answer = row.get("after" if repaired else "answer")
    if row.get("status", "ok") != "ok" or not isinstance(answer, str) or not answer:
        return None
    stamped = row.get("stamped_after") if repaired else None
    return Item(
        id=row["id"],
        prompt=str(row.get("prompt", "")),
        references=tuple(map(str, row.get("references") or ())),
        answer=answer,
        picture=str(row.get("picture") or row["id"]),
        stamped={str(role): str(text) for role, text in stamped.items()} if isinstance(stamped, dict) else {},
    )


def _refuse(where: str, got: str) -> NoReturn:
    raise DataError(
        "is no item of a run", where=where, got=got[:160], expected="one JSON object a line, as a run writes it",
        todo="give the run folder as it was written",
    )  # fmt: skip
