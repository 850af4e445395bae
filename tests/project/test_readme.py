"""README and docs say what the program does, and their links work."""

import argparse
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

import transforms
from pipeline.cli.main import _parser
from pipeline.config import RunConfig
from pipeline.runners.workers import boot
from tests.conftest import ROOT
from transforms.front_end.patches import FRONT_END_VERSION
from transforms.models.registry import registered_models
from transforms.schemas import SCHEMA_VERSION
from transforms.storage.errors import Kind

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
# All that users read.
DOCS = README + "".join(page.read_text("utf-8") for page in PAGES)
# Pages with relative links.
LINKING = [
    *sorted(ROOT.glob("*.md")),
    *PAGES,
    ROOT / "deploy" / "README.md",
    ROOT / "training" / "README.md",
]
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("pipeline", "transforms")
    for path in (ROOT / folder).rglob("*.py")
)
# Made by tools: no part of the tree.
MADE = {"build", "dist", "out", "__pycache__"}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a parser and of all its commands."""
    options: set[str] = set()
    for action in parser._actions:
        options.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                options |= options_of(command)
    return options


def test_every_option_is_documented() -> None:
    known = options_of(_parser()) | options_of(boot._parser())
    known |= {"--task-managers", "--folder"}  # python -m deploy.flink
    # Beam's flags have underscores.
    documented = set(re.findall(r"--[a-z][a-z-]*\b(?!_)", DOCS))
    assert {"--from", "--clip", "--model"} <= known
    contract = {"--id", *(f"--{name}_endpoint" for name in boot.ENDPOINTS)}
    unsaid = {"--help", "--version", "--folder", "-h"} | contract
    assert known - unsaid <= documented
    assert documented <= known


def test_every_option_of_extract_is_in_one_table() -> None:
    (commands,) = (
        action
        for action in _parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    rows = re.findall(r"^\| `(--[a-z-]+)", page("options.md"), re.M)
    assert len(rows) == len(set(rows))
    assert {*rows} == options_of(commands.choices["extract"]) - {"--help", "-h"}


def test_every_published_model_is_documented() -> None:
    for model in registered_models().values():
        if model.published_map is not None:
            row = f"{model.published_map} ± {model.published_map_std} |"
            assert f"| `{model.name}` | {model.embedding_size} | {row}" in README


def test_every_error_type_and_flag_is_documented() -> None:
    dataset = page("dataset.md")
    stages = r'(?:ClipError|Failure)\(\s*"(?:decode|read|worker)",'
    error_types = set(re.findall(stages + r'\s*"([a-z_]+)"', SOURCES))
    error_types |= set(
        re.findall(r'_error\(\s*[a-z_.]*clip_id,\s*"([a-z_]+)"', SOURCES)
    )
    error_types |= {*get_args(Kind)} - {"unwritable", "locked"}
    assert len(error_types) >= 12
    for name in error_types:
        assert f"| `{name}` |" in dataset, name
    for name in (
        "short",
        "silent",
        "channels_cancel",
        "clipped",
        "dc_offset",
        "multichannel",
        "more_audio",
        "truncated",
        "damaged",
    ):
        assert f"| `{name}` |" in dataset and f'"{name}"' in SOURCES


def tree_of(text: str) -> dict[str, set[str]]:
    """The files named in each folder of a tree that is drawn with indentation."""
    tree = text.partition("```\npipeline/ ")[2].partition("\n```")[0]
    folders: dict[str, set[str]] = {}
    above: list[str] = []
    for line in f"pipeline/ {tree}".splitlines():
        start = re.match(r"( *)([a-z0-9_]+)/(?: |$)", line)
        if start:
            above = [*above[: len(start[1]) // 2], start[2]]
            folders["/".join(above)] = set()
        folders["/".join(above)] |= set(re.findall(r"[a-z_0-9]+\.py", line))
    return folders


def modules_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("[a-z]*.py")}


def packages() -> set[str]:
    """The folders of modules that are installed."""
    return {
        str(path.parent.relative_to(ROOT))
        for name in ("pipeline", "transforms")
        for path in (ROOT / name).rglob("*.py")
    }


def test_modules_that_are_named_to_be_run_exist() -> None:
    text = DOCS + (ROOT / "Makefile").read_text(encoding="utf-8")
    run = r"(?:-m|IN_TRAINING\)) ((?:benchmarks|training|demo|deploy)[\w.]*\w)"
    named = {*re.findall(run, text), *re.findall(r"`(benchmarks\.[\w.]+)`", text)}
    assert {"benchmarks.planning", "benchmarks.flink.speed"} <= named
    for name in named:
        path = ROOT.joinpath(*name.split("."))
        assert path.with_suffix(".py").exists() or path.is_dir(), name


def test_the_tree_in_the_readme_is_the_tree() -> None:
    tree = tree_of(README)
    top = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and path.name[0] != "." and path.suffix != ".egg-info"
    }
    assert {name for name in tree if "/" not in name} == top - MADE
    assert {n for n in tree if n.startswith(("pipeline", "transforms"))} == packages()
    for name in ("pipeline", "transforms"):
        assert tree[name] == modules_in(ROOT / name)


def test_every_module_is_in_the_tree_of_the_architecture() -> None:
    tree = tree_of(page("architecture.md"))
    assert {*tree} == packages()
    for folder, modules in tree.items():
        assert modules == modules_in(ROOT / folder), folder


def test_the_architecture_names_modules_that_exist() -> None:
    before = page("architecture.md").partition("## The tree")[0]
    names = re.findall(r"`([a-z_/0-9]+(?:\.py|/))`", before)
    assert len(names) > 20
    for name in names:
        places = [ROOT / name, ROOT / "pipeline" / name, ROOT / "transforms" / name]
        assert any(place.exists() for place in places), name


def test_the_page_on_writers_names_modules_that_exist() -> None:
    names = re.findall(r"`([a-z_/0-9]+\.py)`", page("who-may-write.md"))
    assert len(names) > 5
    for name in names:
        assert (ROOT / name).exists(), name


def test_every_public_name_is_documented() -> None:
    for name in transforms.__all__:
        assert f"`{name}`" in page("python.md"), name


def test_every_variable_is_documented() -> None:
    variables = set(re.findall(r'"(FSDSINET_[A-Z_]+|AWS_[A-Z_]+)"', SOURCES))
    internal = {"FSDSINET_PARENT_PID", "FSDSINET_STATUS_FOLDER", "FSDSINET_COPIES"}
    assert len(variables - internal) > 5
    for name in variables - internal:
        assert name in DOCS, name


def test_every_yaml_key_is_explained() -> None:
    for name in RunConfig.__dataclass_fields__:
        assert name in (RunConfig.__doc__ or ""), name


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 210


def test_every_page_is_in_the_index() -> None:
    index = README.partition("## Documents")[2]
    assert len(PAGES) > 8
    for path in PAGES:
        assert f"(docs/{path.name})" in index, path.name


def test_every_page_says_which_question_it_answers() -> None:
    for path in PAGES:
        title, empty, first = path.read_text("utf-8").splitlines()[:3]
        assert title.startswith("# ") and not empty and first.strip(), path.name
        assert not first.startswith(("|", "```", "#")), path.name


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", prose, re.M)
    }


@pytest.mark.parametrize("path", LINKING, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_resolves(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists() and target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors_of(target.read_text(encoding="utf-8")), link


def test_figures_of_speed_in_the_readme_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| (?:AMD|Intel) .*$", README, re.M)
    assert len(rows) > 3
    for row in rows:
        assert row in page("speed.md").splitlines()


def test_the_changelog_has_the_versions_of_the_dataset() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"`SCHEMA_VERSION` (now {SCHEMA_VERSION})" in text
    assert f"`FRONT_END_VERSION` (now {FRONT_END_VERSION})" in text


def test_the_citation_names_program_and_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'version="{citation["version"]}"' in setup
    assert f'license="{citation["license"]}"' in setup
    (paper,) = citation["references"]
    assert "2107.00623" in paper["url"]
