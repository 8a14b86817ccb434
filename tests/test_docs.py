"""The documents name only what is there: links, paths, commands and options that exist, fields of the record."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from auditor.certification.policy import Policy, load_policy
from auditor.cli.main import app
from reports.record import AuditRecord

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:auditor|reports|probes|tests|docs|benchmarks|results)/[\w./*-]*)`")


def blocks(text: str, language: str = "") -> Iterator[str]:
    for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if not language or found[1] == language:
            yield found[2]


def calls(text: str) -> Iterator[list[str]]:
    """Every call of the program, in code blocks and in running text, as its words after the program's name."""
    code = [block.replace("\\\n", " ") for block in blocks(text)]
    code += re.findall(r"`(pcr-audit [^`]+)`", re.sub(r"\s+", " ", text))
    for line in "\n".join(code).splitlines():
        for found in re.finditer(r"\bpcr-audit ([a-z][^|#;&]*)", line):
            yield shlex.split(found[1].replace("'", ""))


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text("utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_their_options_exist(document: Path) -> None:
    for words in calls(document.read_text("utf-8")):
        if not re.fullmatch(r"[a-z-]+", words[0]) or (len(words) == 1 and words[0] in ("is", "needs")):
            continue
        assert words[0] in COMMANDS, words
        known = {
            option for parameter in COMMANDS[words[0]].params for option in parameter.opts + parameter.secondary_opts
        }
        named = {word.partition("=")[0] for word in words[1:] if re.match(r"--[a-z]", word)}
        assert named <= known | {"--help"}, (words, named - known)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document: Path) -> None:
    named = PATH.findall(document.read_text("utf-8"))
    assert [path for path in named if not [*ROOT.glob(path), *document.parent.glob(path)]] == []


def test_the_example_policy_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "writing-a-policy.md").read_text("utf-8")
    (example,) = blocks(text, "toml")
    (tmp_path / "policy.toml").write_text(example, "utf-8")
    policy = load_policy(tmp_path / "policy.toml").policy
    assert policy.assurance == "certified" and policy.waivers and policy.power is not None
    assert set(re.findall(r"^(?:\[+)?(\w+)", example, re.MULTILINE)) >= set(Policy.model_fields) - {"waivers"}


def test_the_parts_of_the_record_that_are_named_are_all_of_them() -> None:
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    table = text.partition("| part | what it holds |")[2].partition("\n\n")[0]
    named = {name for cell in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert named | {"schema_version", "tool", "created", "seconds", "fail_on", "redacted"} == set(
        AuditRecord.model_fields
    )


def test_the_script_of_the_examples_can_be_read_by_a_shell() -> None:
    assert subprocess.run(["bash", "-n", str(ROOT / "docs" / "examples" / "make.sh")]).returncode == 0
