"""The source tree keeps its shape: which way imports go, and sizes of modules."""

import ast
import collections
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT

# Package -> room -> rooms that its modules may import, besides their own. A room is a
# folder with its subfolders, or modules directly in the package (MODULE_ROOMS). Each
# room stands below all rooms that it may import, so that there are no circles.
ALLOWED_IMPORTS: dict[str, dict[str, set[str]]] = {
    "transforms": {
        "base": set(),
        "storage": {"base"},
        "decoding": {"base", "storage"},
        "recorded_at": {"base", "storage", "decoding"},
        "resampling": {"base", "decoding"},
        "events": {"base", "storage", "decoding", "recorded_at"},
        "front_end": {"base", "decoding"},
        "engines": {"base", "storage", "decoding", "front_end"},
        "schemas": {"base", "decoding", "front_end", "engines", "events"},
        "job_control": {"base", "storage", "schemas"},
        "models": {
            "base",
            "storage",
            "decoding",
            "resampling",
            "front_end",
            "engines",
            "job_control",
        },
        "steps": {
            "base",
            "storage",
            "decoding",
            "recorded_at",
            "resampling",
            "front_end",
            "engines",
            "events",
            "schemas",
            "job_control",
            "models",
        },
        "recordings": {
            "base",
            "storage",
            "decoding",
            "resampling",
            "front_end",
            "engines",
            "schemas",
            "job_control",
            "steps",
        },
    },
    "pipeline": {
        "base": set(),
        "inputs": {"base"},
        "model_files": {"base"},
        "dataset": {"base"},
        "runners": {"base", "dataset"},
        "launch": {"base", "inputs", "dataset", "runners"},
        "results": {"base", "inputs", "dataset"},
        "cli": {
            "base",
            "inputs",
            "model_files",
            "dataset",
            "runners",
            "launch",
            "results",
        },
        "entry": {"cli"},
    },
}
# Rooms of the modules that are directly in a package.
MODULE_ROOMS = {
    "transforms": {
        "elements": "base",
        "errors": "base",
        "essentia_import": "base",
        "schemas": "schemas",
        # The public API, from the steps and from other rooms.
        "__init__": "steps",
        "manifest": "steps",
        "audio": "steps",
        "features": "steps",
        "inference": "steps",
        "pending": "steps",
        "parquet": "steps",
        "tables": "steps",
        "embed": "steps",
        "tagger": "steps",
    },
    "pipeline": {
        "__init__": "base",
        "config": "base",
        "console": "base",
        "errors": "base",
        "event_options": "base",
        "extract": "base",
        "__main__": "entry",
    },
}
MAX_LINES = 400
MAX_MODULES = 14
NOT_INSTALLED = {"training", "benchmarks", "demo", "deploy", "tests"}
MODULES = sorted(
    path
    for folder in ("pipeline", "transforms", "training", "benchmarks", "demo", "deploy")
    for path in (ROOT / folder).rglob("*.py")
)
TEST_FILES = sorted(
    path
    for folder in ("tests", "training/tests")
    for path in (ROOT / folder).rglob("*.py")
)


def imported_names(path: pathlib.Path) -> Iterator[str]:
    """Dotted names that a module imports, `from a.b import c` as a.b.c."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: pathlib.Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(path)}


def room_of(name: str) -> str:
    """The room of a dotted name of a module, or of a name in a module."""
    package, _, inner = name.partition(".")
    part = inner.partition(".")[0]
    if (ROOT / package / part).is_dir():
        return part
    rooms = MODULE_ROOMS[package]
    # Other names come from the package itself.
    return rooms.get(part, rooms["__init__"])


def name_of(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("package", ALLOWED_IMPORTS)
def test_rooms_import_allowed_rooms_only(package: str) -> None:
    for path in MODULES:
        if path.is_relative_to(ROOT / package):
            room = room_of(name_of(path))
            allowed = ALLOWED_IMPORTS[package][room] | {room}
            for name in imported_names(path):
                # The bare package is imported to find its folder.
                if name.startswith(f"{package}."):
                    assert room_of(name) in allowed, (name_of(path), name)


@pytest.mark.parametrize("package", ALLOWED_IMPORTS)
def test_every_room_is_in_the_table_and_imports_rooms_above_it_only(
    package: str,
) -> None:
    folders = {path.name for path in (ROOT / package).iterdir() if [*path.glob("*.py")]}
    modules = {path.stem for path in (ROOT / package).glob("*.py")}
    assert modules == MODULE_ROOMS[package].keys()
    rooms = [*ALLOWED_IMPORTS[package]]
    assert folders | {*MODULE_ROOMS[package].values()} == {*rooms}
    for index, room in enumerate(rooms):
        assert ALLOWED_IMPORTS[package][room] <= {*rooms[:index]}, room


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


def test_commands_that_read_a_dataset_start_without_beam() -> None:
    paths = [path for path in MODULES if path.is_relative_to(ROOT / "pipeline/results")]
    # Computes the embedding of a file, with the steps of a run.
    paths.remove(ROOT / "pipeline/results/search/audio_query.py")
    names = [name_of(path).removesuffix(".__init__") for path in paths]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "sys.exit('apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT)
    assert done.returncode == 0


def test_no_test_file_is_imported() -> None:
    assert len(TEST_FILES) > 50
    for path in TEST_FILES:
        for name in imported_names(path):
            parts = name.split(".")
            if parts[0] == "tests" or parts[:2] == ["training", "tests"]:
                is_test = any(part.startswith("test_") for part in parts[1:])
                assert not is_test, (name_of(path), name)


def test_folders_have_few_modules() -> None:
    modules = {*MODULES, *TEST_FILES}
    counts = collections.Counter(path.parent for path in modules)
    for folder, num_modules in counts.items():
        assert num_modules <= MAX_MODULES, folder


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_short_and_has_a_docstring(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert not text or ast.get_docstring(ast.parse(text))


def test_names_of_test_files_are_unique() -> None:
    """pytest imports the files by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [n for n, count in collections.Counter(names).items() if count > 1] == []
