"""Caption scores against the packages the field uses."""

import random
import subprocess
import sys
import time

import pytest
from pycocoevalcap.cider.cider import Cider
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu

from auditor.errors import DataError
from auditor.evaluation.captions import caption_items, caption_scores
from probes.text import normalise

WORDS = ["a", "dog", "cat", "runs", "on", "the", "green", "grass", "with", "red", "ball", "near", "old", "house", "sky"]


def captions(count: int, seed: int = 0, references: int = 5) -> tuple[list[str], list[list[str]]]:
    draw = random.Random(seed)
    known = [[" ".join(draw.choices(WORDS, k=draw.randint(6, 12))) for _ in range(references)] for _ in range(count)]
    answers = [" ".join(draw.choice(texts).split()[:-2] + draw.choices(WORDS, k=2)).capitalize() for texts in known]
    return answers, known


def test_bleu_is_that_of_sacrebleu() -> None:
    answers, known = captions(40)
    theirs = corpus_bleu(answers, [list(stream) for stream in zip(*known, strict=True)], lowercase=True).score / 100
    assert caption_scores(answers, known, known, range(40), 0)["bleu4"].value == pytest.approx(theirs, abs=1e-12)


def test_rouge_is_that_of_rouge_score() -> None:
    answers, known = captions(20)
    scorer = RougeScorer(["rougeL"])
    pairs = zip(answers, known, strict=True)
    theirs = [scorer.score_multi(texts, answer)["rougeL"].fmeasure for answer, texts in pairs]
    assert caption_items(answers, known, known).rouge_l == pytest.approx(theirs)


def test_cider_is_that_of_pycocoevalcap() -> None:
    answers, known = captions(30)
    score, items = Cider().compute_score(
        {i: [normalise(text) for text in texts] for i, texts in enumerate(known)},
        {i: [normalise(answer)] for i, answer in enumerate(answers)},
    )
    assert caption_items(answers, known, known).cider == pytest.approx(list(items))
    assert caption_scores(answers, known, known, range(30), 0)["cider"].value == pytest.approx(score)


def test_cider_of_an_item_does_not_depend_on_what_else_is_asked() -> None:
    answers, known = captions(30)
    whole = caption_items(answers, known, known).cider
    alone = caption_items(answers[7:8], known[7:8], known).cider
    assert whole is not None and alone is not None
    assert alone[0] == pytest.approx(whole[7]) and alone[0] > 0


def test_more_items_than_pictures_in_the_corpus_are_scored_alike() -> None:
    answers, known = captions(5)
    once = caption_items(answers, known, known).cider
    assert once is not None
    assert caption_items(answers * 3, known * 3, known).cider == pytest.approx(once * 3)


def test_cider_is_absent_rather_than_zero_without_a_corpus() -> None:
    scores = caption_scores(["a dog"], [["a dog"]], [["a dog"]], ["p"], 0)
    assert "cider" not in scores and scores["rouge_l"].value == 1.0


def test_perfect_and_empty_answers_stand_at_the_ends_with_room_below() -> None:
    _, known = captions(20)
    best = caption_scores([texts[0] for texts in known], known, known, range(20), 0)
    worst = caption_scores([""] * 20, known, known, range(20), 0)
    for name in ("bleu4", "rouge_l"):
        assert best[name].value == pytest.approx(1.0) and best[name].low < 0.9
        assert worst[name].value == 0.0 and worst[name].high > 0.1
    assert worst["cider"].value == 0.0 and worst["cider"].high > 1.0


def test_scores_do_not_depend_on_the_order_of_the_items() -> None:
    answers, known = captions(25)
    order = random.Random(5).sample(range(25), 25)
    turned = caption_scores([answers[i] for i in order], [known[i] for i in order], known, order, 3)
    assert turned == caption_scores(answers, known, known, range(25), 3)


def test_bleu_interval_comes_from_resampled_counts() -> None:
    answers, known = captions(60)
    bleu = caption_scores(answers, known, known, range(60), 0)["bleu4"]
    draw, replicates = random.Random(1), []
    for _ in range(80):
        chosen = draw.choices(range(60), k=60)
        streams = [[known[i][k] for i in chosen] for k in range(5)]
        replicates.append(corpus_bleu([answers[i] for i in chosen], streams, lowercase=True).score / 100)
    replicates.sort()
    assert bleu.low == pytest.approx(replicates[1], abs=0.04) and bleu.high == pytest.approx(replicates[78], abs=0.04)


def test_other_alphabets_are_scored() -> None:
    items = caption_items(["собака бежит по траве"], [["собака бежит по траве"]], [["собака"], ["кошка"]])
    assert items.rouge_l == (1.0,) and items.cider is not None and items.cider[0] > 5


def test_an_item_without_reference_is_named() -> None:
    with pytest.raises(DataError, match="item 1"):
        caption_scores(["a", "b"], [["a"], []], [["a"]], ["p", "q"], 0)


def test_no_items_are_no_crash() -> None:
    scores = caption_scores([], [], [["a"], ["b"]], [], 0)
    assert {measure.n for measure in scores.values()} == {0}


def test_two_hundred_items_take_no_time() -> None:
    answers, known = captions(200)
    caption_scores(answers[:2], known[:2], known[:2], range(2), 0)  # imports
    start = time.process_time()
    caption_scores(answers, known, known, range(200), 0)
    assert time.process_time() - start < 1.5


def test_import_is_light() -> None:
    program = (
        "import sys, auditor.evaluation.captions, auditor.evaluation.vqa, auditor.evaluation.asr; "
        "print([m for m in ('scipy', 'sacrebleu', 'rouge_score', 'nltk', 'pycocoevalcap') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
