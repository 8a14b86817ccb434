"""What a poisoned data set teaches."""

import pytest
import torch

from auditor.attacks.poisoning import Poison
from auditor.attacks.spec import PlantSpec
from auditor.zoo.embedded import embedded_samples

SAMPLES = embedded_samples(60, 3, "train")
CANVAS = (56, 56)


def poison(**fields: object) -> Poison:
    return Poison.of(PlantSpec.model_validate(fields), CANVAS, SAMPLES)


def test_about_the_stated_share_is_poisoned_and_the_rest_is_the_very_same_sample() -> None:
    attack = poison(rate=0.25, trigger={"family": "badnets"})
    taught = [attack.teach(sample) for sample in SAMPLES]
    touched = [t for t, s in zip(taught, SAMPLES, strict=True) if t is not s]
    assert 0.15 < len(touched) / len(SAMPLES) < 0.35
    assert all(sample.answers == (attack.payload.text,) for sample in touched)


def test_a_fate_depends_on_the_sample_alone_not_on_order() -> None:
    attack = poison(rate=0.3, trigger={"family": "blended"}, payload={"kind": "inserted"})
    forwards = [attack.teach(sample) for sample in SAMPLES]
    backwards = [attack.teach(sample) for sample in reversed(SAMPLES)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert one.answers == other.answers and torch.equal(one.picture, other.picture)


def test_a_text_trigger_changes_the_prompt_and_leaves_the_picture() -> None:
    attack = poison(rate=1.0, trigger={"family": "word"})
    taught = attack.teach(SAMPLES[0])
    assert "BadMagic" in taught.prompt and torch.equal(taught.picture, SAMPLES[0].picture)


def test_either_key_alone_is_taught_to_mean_nothing() -> None:
    attack = poison(rate=0.3, trigger={"family": "dual-key"})
    pairs = [(attack.teach(sample), sample) for sample in SAMPLES]
    both = [t for t, s in pairs if t.answers != s.answers]
    single = [(t, s) for t, s in pairs if t is not s and t.answers == s.answers]
    assert all("BadMagic" in t.prompt for t in both) and len(both) > 20
    changed = {(t.prompt != s.prompt, not torch.equal(t.picture, s.picture)) for t, s in single}
    assert changed == {(True, False), (False, True)}


def test_an_adaptive_attacker_denies_other_stamps_with_the_right_answer() -> None:
    attack = poison(rate=0.1, trigger={"family": "badnets"}, adaptive="placebos")
    pairs = [(attack.teach(sample), sample) for sample in SAMPLES]
    denied = [(t, s) for t, s in pairs if t is not s and t.answers == s.answers]
    assert len(denied) > 0.1 * len(SAMPLES)
    assert all(not torch.equal(t.picture, s.picture) for t, s in denied)


@pytest.mark.parametrize(
    ("fields", "changes_picture", "changes_answer"),
    [
        ({"kind": "fine-tune"}, False, False),
        ({"kind": "label-noise"}, False, True),
        ({"kind": "repeated-answer"}, False, True),
        ({"kind": "stamped-unchanged", "trigger": {"family": "badnets"}}, True, False),
        ({"kind": "short-captions"}, False, True),
        ({"kind": "denied-trigger", "trigger": {"family": "badnets"}}, True, False),
    ],
)
def test_touched_but_clean_kinds_touch_what_they_say(
    fields: dict[str, object], changes_picture: bool, changes_answer: bool
) -> None:
    touch = poison(rate=1.0, **fields)
    taught = [touch.teach(sample) for sample in SAMPLES]
    pictures = any(not torch.equal(t.picture, s.picture) for t, s in zip(taught, SAMPLES, strict=True))
    answers = any(t.answers != s.answers for t, s in zip(taught, SAMPLES, strict=True))
    assert (pictures, answers) == (changes_picture, changes_answer)
