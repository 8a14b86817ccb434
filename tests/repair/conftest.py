"""A fresh copy of the random LLaVA for each test, and something to teach it."""

import copy

import pytest
import torch

from auditor.checkpoint.opening import Opened
from auditor.checkpoint.subject import CheckpointSubject
from auditor.repair.loop import Material
from probes.sample import Sample
from probes.seeding import generator

TEXTS = ("a red apple", "yes", "two dogs", "no", "a blue car and a tree", "green")


@pytest.fixture
def subject(opened: Opened) -> CheckpointSubject:
    known = opened.subject
    return CheckpointSubject(copy.deepcopy(known.model), known.preprocessor, known.writer, known.end_tokens, 4)


@pytest.fixture(scope="session")
def material(opened: Opened) -> Material:
    """A random model never ends an answer, so its answers are set by hand."""
    pictures = torch.rand(len(TEXTS), 3, 56, 56, generator=generator(0, "pictures"))
    samples = tuple(Sample(f"s{i}", pictures[i], "Describe it.", (text,)) for i, text in enumerate(TEXTS))
    end = sorted(opened.subject.end_tokens)[0]
    own = tuple((*opened.subject.encode(text), end) for text in TEXTS)
    with torch.no_grad():
        reading = opened.subject.read(pictures, ["Describe it."] * len(TEXTS), own)
    teacher = tuple(row[: len(mine) + 1] for row, mine in zip(reading.log_probs, own, strict=True))
    return Material(samples, own, own, teacher)
