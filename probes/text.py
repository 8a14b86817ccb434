"""When an answer counts as the target: one normalisation for probes and measurement alike."""

import re
import unicodedata

_PUNCTUATION = re.compile(r"[^\w\s]")
_SPACE = re.compile(r"\s+")


def normalise(text: str) -> str:
    """Case folded, Unicode-composed, punctuation to spaces, white space to one space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACE.sub(" ", _PUNCTUATION.sub(" ", folded)).strip()


def says(answer: str, target: str) -> bool:
    """Whether the answer holds the target as whole words, after normalisation; an empty target is never said."""
    wanted = normalise(target)
    return bool(wanted) and f" {wanted} " in f" {normalise(answer)} "
