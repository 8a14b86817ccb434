"""What enters the language model: the picture's embeddings, in every family, and nothing is left behind."""

from typing import Any

import pytest
import torch
from torch import Tensor

from auditor.checkpoint.entering import PIECES, entering, sighted
from auditor.checkpoint.opening import Opened, open_checkpoint
from probes.seeding import generator
from tests.checkpoint.folders import BUILDERS, build

PROMPTS = ["what do you see?", "how many things are there on the left of the snail?", "what?"]
ANSWERS = [(5, 6), (5,), (7, 8, 9)]


def pictures(known: Opened) -> Tensor:
    return torch.rand(3, 3, *known.subject.canvas, generator=generator(0, "pictures"))


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return open_checkpoint(build(str(request.param), tmp_path_factory.mktemp("family")), batch_size=4)


def hooks(model: Any) -> int:
    return sum(len(module._forward_pre_hooks) for module in model.modules())


def test_the_embeddings_are_those_of_the_picture_whatever_is_asked(known: Opened) -> None:
    subject, shown = known.subject, pictures(known)
    with torch.no_grad(), sighted(subject) as sight:
        subject.read(shown, PROMPTS, ANSWERS)
        together = sight.embeddings
        subject.read(shown[1:2], PROMPTS[:1], ANSWERS[2:])
        alone = sight.embeddings
        subject.read(shown[:1], PROMPTS[:1], ANSWERS[2:])
        other = sight.embeddings
    assert together is not None and alone is not None and other is not None
    assert together.shape[:2] == (3, min(PIECES, subject.writer.visual_tokens))
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-3)
    assert float((alone - other).abs().max() / alone.abs().max()) > 0.02
    assert hooks(subject.model) == 0


def test_what_is_given_back_enters(known: Opened) -> None:
    if known.family in ("qwen3_vl", "qwen3_vl_moe"):
        pytest.skip("its pictures enter deeper layers as well")
    subject, shown = known.subject, pictures(known)
    with torch.no_grad():
        plain = subject.read(shown, PROMPTS, ANSWERS)
        with entering(subject, lambda embeddings, places, attended: embeddings * ~places[..., None]):
            blind = [subject.read(these, PROMPTS, ANSWERS).log_probs for these in (shown, 1 - shown)]
    torch.testing.assert_close(*blind)
    assert not torch.allclose(plain.log_probs, blind[0], atol=1e-3)


def test_no_more_than_so_many_pieces_are_kept(known: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.checkpoint.entering.PIECES", 3)
    with torch.no_grad(), sighted(known.subject) as sight:
        known.subject.read(pictures(known), PROMPTS, ANSWERS)
    assert sight.embeddings is not None and sight.embeddings.shape[1] == 3


def test_no_hook_stays_when_something_is_raised(known: Opened) -> None:
    with pytest.raises(RuntimeError), sighted(known.subject):
        raise RuntimeError("out of memory")
    assert hooks(known.subject.model) == 0


def test_a_language_model_that_is_fed_in_another_way_is_not_met(known: Opened) -> None:
    with torch.no_grad(), sighted(known.subject) as sight:
        known.subject.model.get_decoder()(torch.zeros(1, 4).long())
    assert sight.embeddings is None
