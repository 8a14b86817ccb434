"""The plan is enforced, not described: one direction between the packages, short files, paths that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for package in ("auditor", "reports", "probes") for path in (ROOT / package).rglob("*.py"))
PATH = re.compile(r"`((?:auditor|reports|probes|tests|docs|benchmarks)/[\w./-]*)`")


def functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_the_layers_hold() -> None:
    importlinter = pytest.importorskip("importlinter.cli")
    assert importlinter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_files_and_functions_stay_short() -> None:
    files = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in files.items() if length > 400} == {}
    assert {name: length for name, length in functions() if length > 60} == {}


def test_every_module_says_what_it_is_for() -> None:
    nameless = [path for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert nameless == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_paths_that_a_document_names_exist(document: str) -> None:
    named = PATH.findall((ROOT / document).read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
