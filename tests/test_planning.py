import json
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.cli.main import main
from auditor.errors import InconclusiveError
from auditor.planning import CountingSubject, Forecast, Speed, Work, count_work, describe_screen
from auditor.zoo.embedded import CLEAN_MODEL, embedded_samples
from probes.ascent import Climb
from probes.curves import BudgetCurve
from probes.inversion import InversionProbe
from probes.prompt_words import OTHER_PROMPTS, PromptWords, Swaps

PROBE = InversionProbe(
    additive=(0.1,), patch=(0.5,), restarts=2, search=Climb(steps=3, pictures=4), growth=Climb(steps=1, pictures=4),
    growth_restarts=1, longest=2, screen=Climb(steps=2, pictures=4), candidates=1, own_decoys=1, made_up_decoys=1,
    curve=BudgetCurve(screen=Climb(steps=1, pictures=4), climb=Climb(steps=2, pictures=4), tries=2), decoded=12,
    grown=0,
)  # fmt: skip


def test_the_work_of_a_search_is_what_the_search_does() -> None:
    samples = embedded_samples(40, 3)
    work = count_work(PROBE, (224, 224), samples[:32], samples[32:48], 0)
    climbed = (
        2 * 4 * 1 + 1 * 4 * 2
    )  # two triggers, four pictures a step; a third of the steps, then half of the triggers
    grown, screened = 2 * 4, 4 * 4 * 2  # two tokens; four places
    curves = 2 * (
        3 * 2 * 4 * 1 + 2 * 4 * 2
    )  # families, targets; screened in two tries; random words are climbed no more; nothing is heard under a frame
    assert work.gradients == 3 * climbed + grown + screened + curves
    assert work.reads > 0 and work.answers > 48


def test_a_family_without_a_budget_is_not_searched() -> None:
    samples = embedded_samples(40, 3)
    without_frames, frames = replace(PROBE, frame=()), replace(PROBE, additive=(), patch=())
    probes = (PROBE, without_frames, frames, replace(frames, frame=()))
    counted = [count_work(probe, (224, 224), samples[:32], samples[32:48], 0).gradients for probe in probes]
    assert counted[0] == counted[1] + counted[2] and counted[2] > counted[3] == 0


def test_a_search_of_words_is_counted_too() -> None:
    samples, words = embedded_samples(40, 3), PromptWords(restarts=1, search=Swaps(2, 4, 2, tried=5), rounds=1)
    work, more = (
        count_work(probe, (224, 224), samples[:32], samples[32:48], 0) for probe in (PROBE, replace(PROBE, words=words))
    )
    assert more.gradients - work.gradients == 2 * 4
    assert 2 * 2 < more.reads - work.reads <= 2 * 6 * 2 + 24 * 5  # judged texts, and whether an answer is natural
    asked = 16 * len(OTHER_PROMPTS)
    assert more.answers - work.answers >= asked + 12


def test_a_counting_subject_answers_and_is_differentiable() -> None:
    subject, samples = CountingSubject((56, 56)), embedded_samples(4, 3)
    pictures = subject.fit(samples[0].picture)[None].requires_grad_(True)
    reading = subject.read(pictures, ["?"], [(1, 2)])
    reading.log_probs.sum().backward()
    assert pictures.grad is not None and reading.log_probs.shape == (1, 3, subject.vocabulary)
    assert subject.encode(subject.decode((3, 4))) == (3, 4)
    assert (subject.work.gradients, subject.work.reads, subject.work.answers) == (1, 0, 0)


def test_a_forecast_adds_up() -> None:
    found = Forecast(Work(gradients=10, reads=4, answers=2), Speed(2.0, 1.0, 0.5, 7))
    assert found.seconds == 25 and found.rows()[-1] == ("the search", 16, 25)
    assert found.as_dict() == {"gradients": 10, "reads": 4, "answers": 2, "seconds": 25.0, "memory_bytes": 7}


def test_a_screen_that_cannot_become_significant_is_refused() -> None:
    with pytest.raises(InconclusiveError, match="reference") as error:
        describe_screen(10, 18)
    assert "199" in error.value.expected and error.value.todo
    assert "needs 199" in describe_screen(10, 160)
    assert "by itself" in describe_screen(8, 160)


def test_the_command_says_what_a_scan_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(CLEAN_MODEL), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert 2_000 < said["gradients"] < 20_000 and said["reads"] > 0 and said["answers"] > 0
    assert said["seconds"] > 1 and said["memory_bytes"] > 2**27 and said["screen"] is None


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert main(["plan", str(tmp_path)]) == 2
