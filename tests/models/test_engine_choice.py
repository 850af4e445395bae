"""The requested engine runs a model if it agrees with the reference."""

import dataclasses
import itertools
import pathlib
import shutil
import stat

import numpy as np
import pytest

import transforms
from pipeline.console import say
from tests.support.predictions import write_model
from tests.support.processes import DEADLINE_S, running
from transforms.elements import Prediction
from transforms.engines.agreement import disagreement, reference, require_agreement
from transforms.engines.contract import ModelSpec
from transforms.engines.registered import ENGINES
from transforms.models import engine_choice
from transforms.models.cache import cache_folder
from transforms.models.check_engine import check_engine
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_model

MODEL = "tests/data/random-tiny-aps.pb"


@pytest.fixture
def spec() -> ModelSpec:
    return load_model(MODEL)


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    folder = tmp_path / "cache"
    use_cache(folder, monkeypatch)
    return folder


def use_cache(folder: pathlib.Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FSDSINET_CACHE", str(folder))
    patch.delenv("NUMBA_CACHE_DIR", raising=False)


@pytest.fixture(scope="module")
def checked(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[pathlib.Path, ModelSpec]:
    """A cache with compiled code and a checked model, and what the check gave."""
    folder = tmp_path_factory.mktemp("checked") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        use_cache(folder, patch)
        (chosen,) = choose_engines([load_model(MODEL)], "winograd", say)
    return folder, chosen


def test_a_checked_model_is_not_checked_again(
    cache: pathlib.Path,
    checked: tuple[pathlib.Path, ModelSpec],
    spec: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, first = checked
    assert first.engine == "winograd" and first.expected is not None
    np.testing.assert_array_equal(
        first.expected.activations, reference(spec).activations
    )
    shutil.copytree(folder, cache)
    monkeypatch.setattr(engine_choice, "_run_check", lambda spec: pytest.fail("again"))
    (again,) = choose_engines([spec], "winograd", say)
    assert again.expected is not None
    np.testing.assert_array_equal(first.expected.embeddings, again.expected.embeddings)


def test_every_installation_is_checked(
    spec: ModelSpec, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # numba does not find code that was compiled for another installation.
    here = pathlib.Path(transforms.__file__).parent
    shutil.copytree(here, tmp_path / "transforms")
    first = engine_choice._key(spec)
    monkeypatch.setattr(transforms, "__file__", str(tmp_path / "transforms/x.py"))
    assert engine_choice._key(spec) != first


def test_a_changed_module_of_the_engine_is_checked_again(
    spec: ModelSpec, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "transforms"
    shutil.copytree(pathlib.Path(transforms.__file__).parent, copy)
    monkeypatch.setattr(transforms, "__file__", str(copy / "x.py"))
    keys = {engine_choice._key(spec)}
    for name in ("engines/winograd/simd", "front_end/mel", "resampling/whole"):
        with (copy / f"{name}.py").open("a") as file:
            file.write("# changed")
        keys.add(engine_choice._key(spec))
    assert len(keys) == 4


def test_the_reference_needs_no_check(cache: pathlib.Path, spec: ModelSpec) -> None:
    (chosen,) = choose_engines([spec], "essentia")
    assert chosen.engine == "essentia" and chosen.expected is None
    # Only workers write there: the compiled code of the front end.
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_essentia_runs_an_unknown_graph(
    cache: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "strange.pb"
    write_model(path, 1.0, "Sigmoid")
    (chosen,) = choose_engines([load_model(str(path))], "winograd", say)
    assert chosen.engine == "essentia" and chosen.expected is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fsdsinet: essentia runs strange instead of winograd: ")
    assert "node dense is MatMul, expected BiasAdd" in line


def test_essentia_runs_without_numba(
    cache: pathlib.Path,
    spec: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (chosen,) = choose_engines([spec], "winograd", say)
    assert chosen.engine == "essentia"
    assert capsys.readouterr().err.endswith("winograd: numba is not installed\n")


@dataclasses.dataclass
class WrongEngine:
    """Adds an offset to the embeddings of the reference."""

    spec: ModelSpec
    offset: float

    def run(self, patches: np.ndarray) -> Prediction:
        right = reference(self.spec)
        return Prediction(right.activations, right.embeddings + np.float32(self.offset))


@pytest.mark.parametrize("offset", [0.1, np.nan])
def test_an_engine_that_disagrees_is_not_used(
    cache: pathlib.Path,
    spec: ModelSpec,
    offset: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(ENGINES, "winograd", lambda spec: WrongEngine(spec, offset))
    # The check runs in this process, which has the wrong engine.
    monkeypatch.setattr(engine_choice, "_run_check", check_engine)
    (chosen,) = choose_engines([spec], "winograd", say)
    assert chosen.engine == "essentia"
    assert "differ from the reference by 0 and embeddings by" in capsys.readouterr().err
    assert not list((cache / "compiled").glob("*.npz"))


def test_essentia_runs_a_model_whose_check_dies(
    cache: pathlib.Path,
    spec: ModelSpec,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.executable", "false")
    (chosen,) = choose_engines([spec], "winograd", say)
    assert chosen.engine == "essentia"
    printed = capsys.readouterr().err
    assert "the process that checks the engine has died (no message)" in printed


def test_workers_check_again(spec: ModelSpec) -> None:
    right = reference(spec)
    checked = dataclasses.replace(spec, engine="winograd", expected=right)
    engine = ENGINES["winograd"](checked)
    require_agreement(checked, engine)
    wrong = Prediction(right.activations + np.float32(0.01), right.embeddings)
    assert "activations differ" in disagreement(engine, wrong)
    with pytest.raises(RuntimeError, match="run with --engine essentia"):
        require_agreement(dataclasses.replace(checked, expected=wrong), engine)


# What is left of a file: nothing, something else, or all but its end.
DAMAGES = (lambda data: b"", lambda data: b"damaged", lambda data: data[:-9])


@pytest.mark.parametrize("first", range(len(DAMAGES)))
def test_damaged_files_in_the_cache_are_replaced(
    cache: pathlib.Path,
    checked: tuple[pathlib.Path, ModelSpec],
    spec: ModelSpec,
    first: int,
) -> None:
    """Compiled code, which takes long to replace, is damaged in the first case only."""
    shutil.copytree(checked[0], cache)
    for suffix in (".npz", ".nbi", ".nbc"):
        files = sorted(cache.rglob(f"*{suffix}"))
        assert len(files) == 1 if suffix == ".npz" else len(files) >= len(DAMAGES)
        if suffix == ".npz" or first == 0:
            for damage, path in zip(itertools.cycle(DAMAGES[first:]), files):
                path.write_bytes(damage(path.read_bytes()))
    (chosen,) = choose_engines([spec], "winograd", say)
    assert chosen.engine == "winograd"


@pytest.mark.slow
def test_two_launchers_may_compile_at_once(
    cache: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    folder = cache.parent
    command: list[str | pathlib.Path] = ["extract", "demo/clips/hammer.mp3"]
    command += ["--model", tiny_model, "--output"]
    with (
        running([*command, folder / "1"], folder / "tmp1") as one,
        running([*command, folder / "2"], folder / "tmp2") as two,
    ):
        for process in (one, two):
            stdout, stderr = process.communicate(timeout=DEADLINE_S)
            assert "1 clip ok" in stdout, stderr


@pytest.fixture
def temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder of temporary files, while the cache folder cannot be written."""
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("FSDSINET_CACHE", str(blocked / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_the_cache_is_temporary_if_its_folder_cannot_be_written(
    temporary: pathlib.Path,
) -> None:
    folder = cache_folder("numba")
    assert folder.is_relative_to(temporary) and folder.is_dir()
    assert stat.S_IMODE(folder.parent.stat().st_mode) & 0o077 == 0
    assert cache_folder("numba") == folder


def test_the_cache_of_another_user_is_not_used(
    temporary: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = cache_folder("numba")
    user = mine.stat().st_uid + 1
    monkeypatch.setattr("os.getuid", lambda: user)
    theirs = mine.parent.rename(temporary / f"fsd-sinet-beam-{user}")
    assert not cache_folder("numba").is_relative_to(theirs)
