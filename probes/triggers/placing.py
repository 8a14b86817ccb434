"""Where a trigger text goes in a prompt."""

import re

import torch

from probes.triggers.drawing import prompt_generator

PLACES = ("random", "start", "end")
_WORD = re.compile(r"\S+")
_SENTENCE = re.compile(r"\S(?:.*?[.!?…]+(?=\s|$)|.*$)", re.DOTALL)


def insert(prompt: str, addition: str, place: str, seed: int, between_sentences: bool = False) -> str:
    """The prompt with `addition` between two of its words (or sentences), or at its start or end.

    A random place depends on the prompt and the seed alone. Nothing else of the prompt changes.
    """
    pieces = (_SENTENCE if between_sentences else _WORD).finditer(prompt)
    gaps = [piece.start() for piece in pieces]
    if not gaps:
        return addition
    at = {"start": 0, "end": len(gaps)}.get(place)
    if at is None:
        at = int(torch.randint(len(gaps) + 1, (), generator=prompt_generator(seed, "text place", prompt)))
    if at == len(gaps):
        body = prompt.rstrip()
        return f"{body} {addition}{prompt[len(body) :]}"
    return f"{prompt[: gaps[at]]}{addition} {prompt[gaps[at] :]}"
