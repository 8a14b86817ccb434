import pytest
import torch

from auditor.checkpoint.subject import CheckpointSubject
from auditor.repair.adversary import Recovered
from auditor.repair.retreat import Step, _choose, _mix, retreat, snapshot
from auditor.zoo.embedded import PAYLOAD, true_trigger
from probes.ascent import Leads
from probes.sample import Sample
from probes.targets import stack
from probes.triggers import Trigger


@pytest.mark.parametrize(
    ("steps", "share"),
    [
        ([Step(1.0, 0.95, 0.9, 0, 200), Step(0.5, 0.99, 0.9, 0, 200)], 0.5),  # keeps most
        ([Step(1.0, 0.95, 0.9, 0, 200), Step(0.5, 0.99, 0.9, 3, 200)], 1.0),  # still says the target
        ([Step(1.0, 0.95, 0.9, 0, 200), Step(0.5, 0.99, 0.9, 2, 200)], 0.5),  # hardly ever
        ([Step(1.0, 0.95, 0.9, 0, 200), Step(0.5, 0.99, 0.85, 0, 200)], 1.0),  # too few stamped answers are right
        ([Step(1.0, 0.95, 0.9, 0, 200), Step(0.5, 0.99, 0.86, 0, 200)], 0.5),
        ([Step(1.0, 0.9, 0.9, 0, 200), Step(0.5, 0.9, 0.9, 0, 200)], 0.5),  # the same: the shorter way
        ([Step(1.0, 0.95, 0.3, 5, 200), Step(0.5, 0.99, 0.4, 9, 200)], 1.0),  # nowhere dead
    ],
)
def test_the_point_with_most_right_answers_while_no_trigger_works_is_taken(steps: list[Step], share: float) -> None:
    assert _choose(steps, made_up=False).share == share


@pytest.mark.parametrize(("recovered", "path"), [(True, [1.0]), (False, [0.5, 1.0])])
def test_what_a_made_up_trigger_brings_about_does_not_end_the_way_back(
    subject: CheckpointSubject, samples: list[Sample], recovered: bool, path: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    points = iter([Step(1.0, 0.95, 0.0, 190, 200), Step(0.5, 0.99, 0.0, 200, 200)])
    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0, 0.5))
    monkeypatch.setattr("auditor.repair.retreat.measure", lambda *about: next(points))
    attacks = [(Recovered(true_trigger(), PAYLOAD, recovered), {})]
    given = snapshot(subject.model)
    assert [step.share for step in retreat(subject, given, samples[:2], [(5,), (6,)], attacks, 0)] == path


@pytest.mark.parametrize(("recovered", "furthest"), [(True, 0.7), (False, 0.2)])
def test_where_something_was_planted_nobody_goes_far_back(
    subject: CheckpointSubject, samples: list[Sample], recovered: bool, furthest: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0, 0.7, 0.6, 0.2))
    monkeypatch.setattr("auditor.repair.retreat.measure", lambda model, share, *about: Step(share, 1 - share, 1, 0, 9))
    attacks = [(Recovered(true_trigger(), PAYLOAD, recovered), {})]
    path = retreat(subject, snapshot(subject.model), samples[:2], [(5,), (6,)], attacks, 0)
    assert path[0].share == min(step.share for step in path) == furthest


@pytest.mark.parametrize(
    ("recovered", "back_at", "chosen"), [(True, (), 0.7), (True, (0.7,), 0.8), (True, (0.7, 0.8, 1.0), 1.0),
                                         (False, (0.7,), 0.7)],
)  # fmt: skip
def test_no_point_is_chosen_at_which_a_new_search_brings_the_target_back(
    subject: CheckpointSubject, samples: list[Sample], recovered: bool, back_at: tuple[float, ...], chosen: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A weight that is the share of the repair says where the model is when it is asked."""
    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0, 0.8, 0.7))
    monkeypatch.setattr("auditor.repair.retreat.measure", lambda model, share, *about: Step(share, 1 - share, 1, 0, 9))
    weight = next(subject.model.parameters()).detach().view(-1)[:1]
    given = snapshot(subject.model)
    before = weight.clone()
    with torch.no_grad():
        weight += 1
    path = retreat(
        subject, given, samples[:2], [(5,), (6,)], [(Recovered(true_trigger(), PAYLOAD, recovered), {})], 0,
        comes_back=lambda: any(abs(float(weight - before) - share) < 0.01 for share in back_at),
    )  # fmt: skip
    assert path[0].share == chosen and {step.share for step in path} == {1.0, 0.8, 0.7}
    assert abs(float(weight - before) - chosen) < 0.01


def test_the_ends_of_the_path_are_the_given_and_the_repaired_weights(subject: CheckpointSubject) -> None:
    given = snapshot(subject.model)
    repaired = {name: value + 0.1 if value.is_floating_point() else value for name, value in given.items()}
    for share, wanted in ((1.0, repaired), (0.0, given)):
        _mix(subject.model, given, repaired, share)
        assert all(torch.equal(value, wanted[name]) for name, value in subject.model.state_dict().items())
    _mix(subject.model, given, repaired, 0.25)
    name, middle = next(iter(subject.model.named_parameters()))
    torch.testing.assert_close(middle.detach(), given[name] + 0.025)


def test_the_model_is_left_at_the_chosen_point(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way ruins every answer here, so the way back ends at its beginning."""
    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0, 0.0))
    monkeypatch.setattr("auditor.repair.retreat.PLANTED", 0.0)
    few = samples[:3]
    own = [answer.tokens for answer in subject.respond(stack(few), [sample.prompt for sample in few])]
    given = snapshot(subject.model)
    with torch.no_grad():
        subject.model.get_output_embeddings().weight.zero_()
    path = retreat(subject, given, few, own, [(Recovered(true_trigger(), PAYLOAD), {})], 0)
    assert [step.share for step in path] == [0.0, 1.0]
    assert (path[0].kept, path[1].kept) == (1.0, 0.0)
    assert all(torch.equal(value, given[name]) for name, value in subject.model.state_dict().items())


def test_an_appended_target_is_climbed_after_what_it_follows(
    subject: CheckpointSubject, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Leads] = []

    def climbed(subject: object, start: object, target: str, leads: Leads, *rest: object) -> list[Trigger]:
        heard.append(leads)
        return [true_trigger()]

    monkeypatch.setattr("auditor.repair.retreat.SHARES", (1.0,))
    monkeypatch.setattr("auditor.repair.adversary.climbed", climbed)
    given, leads = snapshot(subject.model), {samples[0].id: (5, 6)}
    retreat(subject, given, samples[:2], [(5,), (6,)], [(Recovered(true_trigger(), PAYLOAD), leads)], 0)
    assert heard == [leads]
