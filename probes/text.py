"""One normalisation of answers for probes, matchers and caption metrics alike, and when an answer says a target."""

import re
import string
import unicodedata
from difflib import SequenceMatcher
from itertools import pairwise

# Thai to Lao, Myanmar, Khmer, kana, Han: written without spaces, so that each character has to stand as a word.
_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(f"([{_SCRIPTS}])")
_APOSTROPHES = frozenset("'\u2019\u02bc")


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; invisible characters count for nothing, symbols such as emoji stay."""
    kept = "".join(_plain(character) for character in unicodedata.normalize("NFKC", text).casefold())
    return _UNSPACED.sub(r" \1 ", kept).split()


def normalise(text: str) -> str:
    """The words of a text, one space between them: equal for texts that differ in case, punctuation or spaces only."""
    return " ".join(words(text))


def says(answer: str, target: str) -> bool:
    """Whether the words of the target stand side by side somewhere in the answer; an empty target is never said."""
    wanted = normalise(target)
    return bool(wanted) and f" {wanted} " in f" {normalise(answer)} "


def pieces(text: str) -> set[tuple[str, ...]]:
    """The words of a text, and its pairs of neighbouring words: what another text can be put together from."""
    found = words(text)
    return {*zip(found), *pairwise(found)}


def similarity(one: str, other: str) -> float:
    """The share of characters that two texts have in common, in the same order: 1 for texts that normalise alike."""
    return SequenceMatcher(None, normalise(one), normalise(other), autojunk=False).ratio()


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if character in _APOSTROPHES or category == "Cf":
        return ""
    if category.startswith("P") or character in string.punctuation or category == "Cc":
        return " "
    return character
