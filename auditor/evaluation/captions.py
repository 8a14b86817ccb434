"""Caption quality, scored by the field's own packages: BLEU-4, ROUGE-L and CIDEr with a pinned IDF corpus."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.errors import DataError
from auditor.evaluation.intervals import Floats, Measure, cluster_bootstrap
from probes.text import normalise, words

CIDER_BOUNDS = (0.0, 10.0)
ORDERS = 4
References = Sequence[Sequence[str]]


@dataclass(frozen=True)
class CaptionItems:
    """Scores of the single items, in their order: `bleu4` (sentence level) and `rouge_l` in [0, 1], `cider` in [0, 10].

    `cider` is None where the corpus has fewer than two pictures, because every IDF is zero then. `bleu_counts`
    is (items, 10): answer length, reference length, matches of orders 1 to 4, n-grams of orders 1 to 4.
    """

    bleu4: tuple[float, ...]
    rouge_l: tuple[float, ...]
    cider: tuple[float, ...] | None
    bleu_counts: Floats


def caption_scores(
    answers: Sequence[str], references: References, corpus: References, clusters: Sequence[Hashable], seed: int
) -> dict[str, Measure]:
    """`bleu4` and `rouge_l` in [0, 1] and `cider` in [0, 10] (times 10 as in the field), with 95 % cluster intervals.

    `corpus` holds the references of every picture of the whole data set, so that a CIDEr does not depend on which items
    were asked; `clusters` names the picture of each item. `cider` is absent where the corpus has fewer than two
    pictures. Raises DataError where an item has no reference.
    """
    items = caption_items(answers, references, corpus)
    scores = {
        "bleu4": cluster_bootstrap(items.bleu_counts, clusters, seed, _corpus_bleu),
        "rouge_l": cluster_bootstrap(items.rouge_l, clusters, seed),
    }
    if items.cider is not None:
        scores["cider"] = cluster_bootstrap(items.cider, clusters, seed, bounds=CIDER_BOUNDS)
    return scores


def caption_items(answers: Sequence[str], references: References, corpus: References) -> CaptionItems:
    """The scores of every item by itself; DataError where an item has no reference, ValueError on uneven lengths."""
    pairs = list(zip(answers, references, strict=True))
    for index, (_, known) in enumerate(pairs):
        if not known:
            raise DataError(
                "caption scores need references",
                where=f"item {index}",
                got="no reference answer",
                expected="at least one",
                todo="leave samples without `answers` out, or add their captions",
            )
    bleu4, counts = _bleu(pairs)
    cider = _cider(pairs, corpus) if len(corpus) > 1 else None
    return CaptionItems(bleu4, _rouge_l(pairs), cider, counts)


def _bleu(pairs: Sequence[tuple[str, Sequence[str]]]) -> tuple[tuple[float, ...], Floats]:
    """Papineni et al. (2002), by sacrebleu: 13a tokens, lower case, exponential smoothing."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=True, effective_order=True)
    found = [metric.sentence_score(answer, list(known)) for answer, known in pairs]
    rows = [[score.sys_len, score.ref_len, *score.counts, *score.totals] for score in found]
    counts = np.array(rows, dtype=np.float64).reshape(len(rows), 2 + 2 * ORDERS)
    return tuple(score.score / 100 for score in found), counts


def _corpus_bleu(totals: Floats, _: Floats) -> Floats:
    """Corpus BLEU-4 of summed counts (resamples, 10), by sacrebleu."""
    from sacrebleu.metrics.bleu import BLEU

    scores = [
        BLEU.compute_bleu(row[2 : 2 + ORDERS], row[2 + ORDERS :], row[0], row[1], smooth_method="exp").score
        for row in totals.astype(int).tolist()
    ]
    return np.minimum(np.array(scores) / 100, 1.0)


class _Tokens:
    """Our words in the form rouge_score asks for; its own tokens drop every letter outside a to z."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def _rouge_l(pairs: Sequence[tuple[str, Sequence[str]]]) -> tuple[float, ...]:
    """Lin (2004), by rouge_score: F of the longest common subsequence with the best reference."""
    from rouge_score.rouge_scorer import RougeScorer

    score: Callable[..., dict[str, Any]] = RougeScorer(["rougeL"], tokenizer=_Tokens()).score_multi
    return tuple(float(score(list(known), answer)["rougeL"].fmeasure) for answer, known in pairs)


def _cider(pairs: Sequence[tuple[str, Sequence[str]]], corpus: References) -> tuple[float, ...]:
    """Vedantam et al. (2015) with the clipping and length penalty of CIDEr-D, by pycocoevalcap, on our words."""
    frequency = _document_frequency(corpus)
    scores: list[float] = []
    for start in range(0, len(pairs), len(corpus)):
        scores += _cider_part(pairs[start : start + len(corpus)], frequency, len(corpus))
    return tuple(scores)


def _cider_part(
    pairs: Sequence[tuple[str, Sequence[str]]], frequency: defaultdict[Any, float], documents: int
) -> list[float]:
    """The scores of at most `documents` items under a given document frequency."""
    scorer = _new_scorer()
    for answer, known in pairs:
        scorer += (normalise(answer), [normalise(text) for text in known])
    scorer.document_frequency = frequency
    # The scorer takes the number of documents from this list; what stands past the last answer is never scored.
    scorer.crefs += [[]] * (documents - len(pairs))
    return [float(score) for score in scorer.compute_cider()]


def _document_frequency(corpus: References) -> defaultdict[Any, float]:
    scorer = _new_scorer()
    for known in corpus:
        scorer += ("", [normalise(text) for text in known])
    scorer.compute_doc_freq()
    frequency: defaultdict[Any, float] = scorer.document_frequency
    return frequency


def _new_scorer() -> Any:
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    return CiderScorer(n=ORDERS)
