"""VQA accuracy as the field counts it, after the normalisation of the official evaluation."""

import re
from collections.abc import Hashable, Sequence

from auditor.evaluation.intervals import Measure, cluster_bootstrap

AGREEMENT = 3
ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(NUMBERS)}}
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll let's ma'am mightn't mightn't've
might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've she's should've shouldn't
shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd
something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're
they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've
who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll
y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {text.replace("'", ""): text for text in _CONTRACTED.split()}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_DIGIT_COMMA = re.compile(r"\d,\d")


def normalise_vqa(text: str) -> str:
    """Lower case, no punctuation, no articles, number words as digits, contractions with their apostrophe.

    Antol et al. (2015), official evaluation; contractions also where only a part of their apostrophes is missing.
    """
    plain = _without_punctuation(" ".join(text.split()).replace("\u2019", "'")).lower()
    digits = (DIGITS.get(word, word) for word in plain.split())
    return " ".join(CONTRACTIONS.get(word.replace("'", ""), word) for word in digits if word not in ARTICLES)


def vqa_score(answer: str, references: Sequence[str]) -> float:
    """min(1, matches / 3) where three or more people answered, else 1.0 for a match with anyone and 0.0 for none."""
    text = normalise_vqa(answer)
    matches = sum(bool(text) and text == normalise_vqa(reference) for reference in references)
    if len(references) < AGREEMENT:
        return float(matches > 0)
    return min(1.0, matches / AGREEMENT)


def vqa_accuracy(
    answers: Sequence[str], references: Sequence[Sequence[str]], clusters: Sequence[Hashable], seed: int
) -> Measure:
    """The mean score in [0, 1] with a 95 % interval over pictures; ValueError unless all speak of the same items."""
    scores = [vqa_score(answer, known) for answer, known in zip(answers, references, strict=True)]
    return cluster_bootstrap(scores, clusters, seed)


def _without_punctuation(text: str) -> str:
    """Joins what a mark at a space or a thousands comma divides, and parts what any other mark divides."""
    joins = bool(_DIGIT_COMMA.search(text))
    plain = text
    for mark in _PUNCTUATION:
        alone = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if alone or joins else " ")
    return _PERIOD.sub("", plain)
