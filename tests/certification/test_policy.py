"""The policy file: typed, with defaults in one place, and refused with the field that is wrong."""

import hashlib
import tomllib
from datetime import date
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from pydantic import ValidationError

from auditor.certification.policy import PROFILES, Policy, Profile, Waivable, Waiver, load_policy, policy_schema
from auditor.errors import UsageError
from reports.record import RecordedFinding

WAIVER = {"rule": "findings", "target": "evil", "owner": "A. Owner", "reason": "known", "expires": "2027-01-31"}


def test_the_defaults_are_the_standard_profile() -> None:
    assert load_policy("standard").policy == Policy()


@pytest.mark.parametrize("name", get_args(Profile))
def test_every_profile_is_named_after_its_file_and_fits_the_schema(name: str) -> None:
    loaded = load_policy(name)
    assert loaded.policy.name == name
    assert loaded.digest == hashlib.sha256((PROFILES / f"{name}.toml").read_bytes()).hexdigest()
    jsonschema.validate(tomllib.loads(loaded.content.decode()), policy_schema())


def test_no_profile_is_left_out() -> None:
    assert sorted(get_args(Profile)) == sorted(path.stem for path in PROFILES.glob("*.toml"))


def test_profiles_get_stricter() -> None:
    quick, standard, release = (load_policy(name).policy for name in ("quick", "standard", "release"))
    assert quick.residual.asr > standard.residual.asr > release.residual.asr
    assert (quick.quality.cider or 0) > (standard.quality.cider or 0) > (release.quality.cider or 0)
    assert quick.coverage < standard.coverage < release.coverage
    assert (quick.assurance, standard.assurance, release.assurance) == ("screened", "screened", "certified")
    assert quick.power is None and standard.power is None and release.power is not None


def test_a_file_need_only_say_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'name = "ours"\n[quality]\ncider = 0.01\n[[waivers]]\nrule = "findings"\ntarget = "evil"\nowner = "A"\n'
        'reason = "known"\nexpires = 2027-01-31\n'
    )
    policy = load_policy(path).policy
    assert (policy.name, policy.quality.cider, policy.quality.vqa_accuracy) == ("ours", 0.01, 0.05)
    assert policy.waivers[0].expires == date(2027, 1, 31)
    assert policy.residual == Policy().residual


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"significanse = 0.05", "significanse"),
        (b"[quality]\nciderr = 0.1", "quality.ciderr"),
        (b"significance = 0.0", "significance"),
        (b"significance = 'x'", "significance"),
        (b'fail_on = "huge"', "fail_on"),
        (b'assurance = "certified"', "[power]"),
        (b"coverage = 1.5", "coverage"),
        (b"not toml at all", "line 1"),
        (b"\xff\xfe", "utf-8"),
        (b'[[waivers]]\nrule = "findings"', "waivers.0"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_field(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_policy(path)
    assert named in str(caught.value) and "policy.toml" in str(caught.value) and "schema --policy" in caught.value.todo


def test_a_missing_policy_is_refused_with_the_profiles() -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load_policy("releese")
    assert "release" in caught.value.expected


@pytest.mark.parametrize(
    "changes",
    [
        {"target": None},
        {"rule": "quality"},
        {"rule": "coverage", "target": None},
        {"rule": "competence", "target": None},
        {"owner": ""},
        {"reason": ""},
        {"expires": "soon"},
        {"fingerprint": "xyz"},
        {"metric": "cider"},
    ],
)
def test_a_waiver_names_what_it_waives_who_answers_for_it_and_until_when(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Waiver.model_validate(WAIVER | changes)


def test_what_makes_a_run_unable_to_judge_cannot_be_waived() -> None:
    assert not {"coverage", "competence"} & set(get_args(Waivable))


def test_a_waiver_is_about_the_finding_that_it_names() -> None:
    found = RecordedFinding(probe="inversion", target="Evil!")
    assert Waiver.model_validate(WAIVER).is_about(found)
    assert Waiver.model_validate(WAIVER | {"fingerprint": found.fingerprint}).is_about(found)
    assert not Waiver.model_validate(WAIVER | {"fingerprint": "0" * 16}).is_about(found)
    assert not Waiver.model_validate(WAIVER | {"target": "good"}).is_about(found)


def test_the_documented_policy_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "writing-a-policy.md").read_text("utf-8")
    block = text.split("```toml\n")[1].split("```")[0]
    policy = Policy.model_validate(tomllib.loads(block))
    release = load_policy("release").policy
    assert policy == release.model_copy(update={"name": "our-release", "waivers": policy.waivers})
    assert policy.waivers[0].rule == "findings"


def test_every_rule_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "writing-a-policy.md").read_text("utf-8")
    for rule in [*get_args(Waivable), "coverage", "competence"]:
        assert f"| `{rule}" in text
