"""What a search says of itself, from the suspects that it is left with."""

import pytest

from auditor.searching import findings_of
from probes.curves import Point
from probes.finding import Null, Rate
from probes.suspects import Searched, Suspect
from probes.targets import Target
from probes.triggers import badnets

WHOLE, PIECE, OTHER = "a red apple left of a frog", "left of a frog", "three"


def suspect(text: str, gap: float, hits: int) -> Suspect:
    """One at a patch of its own, which a hundred pictures were shown."""
    target = Target(text, tuple(range(len(text))), "growth")
    point = Point(target, "patch", 0.25, Rate(hits, 100), badnets((24, 24), 6, len(text)))
    return Suspect(target, gap, point, (Rate(0, 100),), Rate(0, 100), Rate(0, 100), (point,), natural=False)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_version_of_a_worse_finding_is_none_of_its_own_and_is_unlearned_with_it(order: tuple[int, ...]) -> None:
    suspects = [suspect(PIECE, 2.7, 100), suspect(WHOLE, 0.6, 30), suspect(OTHER, 1.2, 60)]
    shown = findings_of(Searched(tuple(suspects[i] for i in order), (), None, (), ()), lambda one: None)  # type: ignore
    assert [item.finding.target for item in shown] == [PIECE, OTHER]
    assert [text for _, text in shown[0].recovered] == [PIECE, WHOLE]
    assert shown[0].recovered[1][0] == suspects[1].point.trigger


def test_nothing_is_said_of_what_stands_with_its_decoys_and_only_findings_are_looked_at() -> None:
    looked: list[str] = []

    def look(one: Suspect) -> Null | None:
        looked.append(one.target.text)
        return Null("seen again", 1.0, (), "")

    suspects = (suspect(OTHER, 0.1, 0), suspect(PIECE, 2.7, 100))
    shown = findings_of(Searched(suspects, (), None, (), ()), look)  # type: ignore
    assert looked == [item.finding.target for item in shown] == [PIECE]
    assert "seen again" in [statistic.name for statistic in shown[0].finding.statistics]
