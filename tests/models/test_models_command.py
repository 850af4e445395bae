"""`fsdsinet models`, and model names given to `extract`, with a registry for tests."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.model_files.verify import verify_model
from tests.conftest import DATA
from tests.support.file_server import FileServer, running_server
from tests.support.predictions import write_model
from transforms.elements import FloatArray, Prediction
from transforms.engines.agreement import check_sounds
from transforms.engines.contract import ModelSpec
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.registered import ENGINES
from transforms.errors import UserError
from transforms.models.loading import load_model
from transforms.models.registry import (
    REGISTRY,
    file_hash,
    graph_path,
    hash_problem,
    published_labels,
    registered_models,
)

PUBLISHED, BUNDLED = "random-tiny-aps", "random-tiny-tlpf"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_server() as server:
        for suffix in (".pb", ".json"):
            data = (DATA / f"{PUBLISHED}{suffix}").read_bytes()
            server.files[f"/{PUBLISHED}{suffix}"] = data
        yield server


@pytest.fixture(autouse=True)
def cache(
    tmp_path: pathlib.Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """An empty models folder, and a registry of a published and a bundled model."""
    common = {"description": "RANDOM", "architecture": "narrow", "embedding_size": 32}
    common |= {"licence": "AGPL-3.0", "citation": "none"}
    package = tmp_path / "package"
    (package / "bundled").mkdir(parents=True)
    for suffix in (".pb", ".json"):
        shutil.copy(DATA / f"{BUNDLED}{suffix}", package / "bundled")
    published = {
        "hash": "git_blob_sha1:" + file_hash(DATA / f"{PUBLISHED}.pb", "git_blob_sha1"),
        "published_map": 0.1234,
        "published_map_std": 0.002,
        "weights_url": f"{server.url}/{PUBLISHED}.pb",
        "metadata_url": f"{server.url}/{PUBLISHED}.json",
    }
    bundled = {
        "hash": "sha256:" + file_hash(DATA / f"{BUNDLED}.pb", "sha256"),
        "bundled_file": f"bundled/{BUNDLED}.pb",
    }
    models = {PUBLISHED: common | published, BUNDLED: common | bundled}
    content = json.loads(REGISTRY.read_text()) | {"models": models}
    (package / "registry.json").write_text(json.dumps(content))
    monkeypatch.setattr(
        "transforms.models.registry.REGISTRY", package / "registry.json"
    )
    monkeypatch.setenv("FSDSINET_MODELS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files_here(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Returns the column `here` of the table, by model."""
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    position = lines[0].index("here")
    assert lines[0].split() == [
        "model",
        "architecture",
        "embedding",
        "mAP",
        "licence",
        "here",
    ]
    return {line.split()[0]: line[position:] for line in lines[1:3]}


def test_files_are_hashed_as_git_does() -> None:
    data = (DATA / f"{PUBLISHED}.pb").read_bytes()
    expected = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert file_hash(DATA / f"{PUBLISHED}.pb", "git_blob_sha1") == expected


def test_the_list_states_which_files_are_here(
    cache: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundled = graph_path(registered_models()[BUNDLED])
    expected = {PUBLISHED: "no", BUNDLED: f"bundled, hash right: {bundled}"}
    assert files_here(capsys) == expected
    cache.mkdir()
    path = cache / f"{PUBLISHED}.pb"
    shutil.copy(DATA / f"{PUBLISHED}.pb", path)
    assert files_here(capsys)[PUBLISHED] == f"fetched, hash right: {path}"
    path.write_bytes(path.read_bytes()[:-1])
    bundled.unlink()
    table = files_here(capsys)
    assert table[PUBLISHED].startswith("WRONG FILE, its git blob sha1 is ")
    assert table[BUNDLED] == f"MISSING: {bundled}"


def test_the_list_has_the_published_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    printed = capsys.readouterr().out
    assert "32         0.123 ± 0.002  AGPL-3.0" in printed
    for text in ("CC BY-NC-ND 4.0", "models fetch NAME", "cite: none"):
        assert text in printed


def test_a_published_model_is_fetched_and_found_by_name(
    cache: pathlib.Path,
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    server: FileServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    extract = ["extract", str(corpus), "--model", PUBLISHED, "--dry-run"]
    extract += ["--output", str(tmp_path / "out")]
    assert main(extract) == 2
    message = capsys.readouterr().err
    assert f"run 'fsdsinet models fetch {PUBLISHED}'" in message
    assert f"{server.url}/{PUBLISHED}.pb" in message
    # Nothing is downloaded until the user asks for it.
    assert server.requests == []
    assert main(["models", "fetch", PUBLISHED]) == 0
    assert capsys.readouterr().out == f"{cache}/{PUBLISHED}.pb\n"
    assert main(extract) == 0
    assert load_model(PUBLISHED).graph_path == f"{cache}/{PUBLISHED}.pb"


def test_a_bundled_model_is_found_by_name() -> None:
    spec = load_model(BUNDLED)
    assert spec.name == BUNDLED
    assert spec.graph_path.endswith(f"package/bundled/{BUNDLED}.pb")
    graph_path(registered_models()[BUNDLED]).unlink()
    with pytest.raises(UserError, match="comes with fsd-sinet-beam, so install"):
        load_model(BUNDLED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "vgg"], f"model is 'vgg', expected one of: {PUBLISHED}, {BUNDLED}"),
        (["fetch", BUNDLED], "nothing to fetch"),
        (["fetch", PUBLISHED, "--from", "/nowhere"], "no folder '/nowhere'"),
        (["fetch", PUBLISHED, "--from", "{url}/none"], "is not at {url}/none/"),
        (["verify", "vgg"], "no model 'vgg': expected the path of a .pb file or one"),
        (["verify", PUBLISHED], f"models fetch {PUBLISHED}"),
        (["list", "--", "--job_name=x"], "only extract takes flags for Beam"),
    ],
)
def test_wrong_commands_are_refused(
    arguments: list[str],
    message: str,
    server: FileServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", *(a.format(url=server.url) for a in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last_line = captured.err.splitlines()[-1]
    assert last_line.startswith("fsdsinet: ")
    assert message.format(url=server.url) in last_line


def verify(name: str | pathlib.Path) -> list[str]:
    """Returns the checks that failed, as text."""
    return [str(c) for c in verify_model(str(name)) if not c.is_good]


def test_a_good_model_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", BUNDLED]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    checks = [line.split()[1] for line in lines]
    assert checks[:5] == ["file", "hash", "nodes", "shapes", "classes"]
    # Every engine has a check for each sound, and one against the first engine.
    missing = [line.split()[1] for line in lines if "is not installed" in line]
    num_installed = len(ENGINES) - len(missing)
    assert set(missing) <= {"torch"}
    expected = (len(check_sounds()) + 1) * num_installed - 1 + len(missing)
    assert len(checks[5:]) == expected
    assert set(checks[5:]) == set(ENGINES)


def test_a_wrong_file_fails_and_the_other_checks_go_on(
    cache: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir()
    shutil.copy(DATA / "random-tiny-tlpf_aps.pb", cache / f"{PUBLISHED}.pb")
    assert main(["models", "verify", PUBLISHED]) == 2
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("FAILED")]
    assert len(failed) == 1 and "git blob sha1" in failed[0]
    assert "no metadata: the published names" in "".join(lines)


def test_a_file_that_is_not_a_graph_fails(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "page.pb"
    path.write_text("<html>")
    assert "not a TensorFlow GraphDef" in verify(path)[0]


@pytest.mark.parametrize(
    ("weight", "last_op", "num_failed"),
    [(1.0, "Sigmoid", 0), (np.nan, "Sigmoid", 5), (1e6, "Identity", 5)],
)
def test_activations_outside_0_to_1_fail(
    tmp_path: pathlib.Path, weight: float, last_op: str, num_failed: int
) -> None:
    path = tmp_path / "model.pb"
    write_model(path, weight, last_op)
    failed = [text for text in verify(path) if text.split()[1] == "essentia"]
    assert len(failed) == num_failed
    assert all("expected finite numbers" in text for text in failed)


def test_an_embedding_of_another_size_than_registered_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = dataclasses.replace(registered_models()[BUNDLED], embedding_size=64)
    monkeypatch.setattr(
        "pipeline.model_files.verify.registered_models", lambda: {BUNDLED: model}
    )
    (failed,) = verify(BUNDLED)
    assert "embeddings [patches, 32]; expected embeddings of 64" in failed


@dataclasses.dataclass
class OffsetEngine:
    """An engine whose results differ from Essentia's by an offset."""

    spec: ModelSpec
    offset: float

    def run(self, patches: FloatArray) -> Prediction:
        exact = EssentiaEngine(self.spec).run(patches)
        offset = np.float32(self.offset)
        return Prediction(exact.activations - offset, exact.embeddings + offset)


@pytest.mark.parametrize(
    ("offset", "is_good"), [(1e-6, True), (1e-3, False), (np.nan, False)]
)
def test_engines_are_compared(
    monkeypatch: pytest.MonkeyPatch, offset: float, is_good: bool
) -> None:
    engines = {
        "essentia": EssentiaEngine,
        "other": lambda spec: OffsetEngine(spec, offset),
    }
    monkeypatch.setattr("pipeline.model_files.verify.ENGINES", engines)
    against = [c for c in verify_model(BUNDLED) if "against essentia" in c.text]
    assert [c.is_good for c in against] == [is_good]


def test_an_engine_that_cannot_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: ModelSpec) -> OffsetEngine:
        raise RuntimeError("no such operation")

    engines = {"broken": broken, "essentia": EssentiaEngine}
    monkeypatch.setattr("pipeline.model_files.verify.ENGINES", engines)
    (failed,) = verify(BUNDLED)
    assert failed.endswith("RuntimeError: no such operation")


def test_the_registry_is_complete_and_its_bundled_files_have_their_hashes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transforms.models.registry.REGISTRY", REGISTRY)
    models = registered_models()
    assert sum(model.weights_url is not None for model in models.values()) == 4
    assert len(published_labels()) == 200
    for name, model in models.items():
        digits = {"git_blob_sha1": 40, "sha256": 64}
        algorithm, _, value = model.hash.partition(":")
        assert len(bytes.fromhex(value)) * 2 == digits[algorithm]
        if model.bundled_file is None:
            base = "https://essentia.upf.edu/models/audio-event-recognition/fsd-sinet/"
            assert model.weights_url == f"{base}{name}.pb"
            assert model.metadata_url == f"{base}{name}.json"
        else:
            assert hash_problem(model, graph_path(model)) is None
            assert load_model(name).embedding_size == model.embedding_size
