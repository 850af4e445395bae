"""The tree keeps its shape: which way imports go, and how large modules get."""

import ast
import pathlib

import pytest

from tests.conftest import ROOT

MODULES = sorted(
    path
    for folder in ("pipeline", "transforms", "training", "benchmarks", "demo", "deploy")
    for path in (ROOT / folder).rglob("*.py")
)
MAX_LINES = 400
NOT_INSTALLED = {"training", "benchmarks", "demo", "deploy", "tests"}


def imported_packages(path: pathlib.Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_transforms_never_import_pipeline() -> None:
    modules = [path for path in MODULES if "transforms" in path.parts]
    assert len(modules) > 5
    for path in modules:
        assert not imported_packages(path) & {"pipeline", "training", "demo"}, path


def test_installed_packages_do_not_need_the_others() -> None:
    for path in MODULES:
        if {"pipeline", "transforms"} & {*path.parts}:
            names = imported_packages(path)
            assert not names & NOT_INSTALLED, path


def test_transforms_know_no_corpus() -> None:
    for path in MODULES:
        if "transforms" in path.parts:
            assert "fsd50k" not in path.read_text(encoding="utf-8").lower(), path


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_short_and_says_what_it_is_for(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert not text or ast.get_docstring(ast.parse(text))
