"""Options: defaults, YAML, --set and flags."""

import pathlib
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError

NEEDED = {"inputs": ["a.wav"], "models": ["m.pb"], "output": "out"}


def test_flags_win_over_set_over_yaml_over_defaults(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "models: m.pb\noutput: out\nworkers: 2\npatch_hop: 10\nshard_clips: 7\n"
    )
    config = load_config(
        str(path), ["patch_hop=20", "workers=3"], {"workers": 4, "inputs": ["a"]}
    )
    assert (config.workers, config.patch_spec.patch_hop, config.shard_clips) == (
        4,
        20,
        7,
    )
    assert config.models == ("m.pb",)
    assert config.patch_spec.last_patch == "repeat"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"modles": ["m"]}, "unknown key 'modles'; did you mean models"),
        ({"workers": "two"}, "workers is 'two', expected int or empty"),
        ({"workers": True}, "workers is True, expected int"),
        ({"workers": 0}, "workers is 0, expected at least 1"),
        ({"patch_hop": 0}, "patch_hop is 0, expected 1 to 101"),
        ({"patch_hop": 200}, "a longer hop would skip audio"),
        ({"last_patch": "drop"}, "expected one of: repeat, discard"),
        ({"engine": "tpu"}, "engine is 'tpu', expected one of: essentia, winograd"),
        ({"outputs": ["mel"]}, "one or more of: activations, embeddings"),
        ({"outputs": []}, "outputs is empty, expected one or more of: activations"),
        ({"outputs": ["embeddings"] * 2}, "each once"),
        ({"inputs": [3]}, "inputs is \\[3\\], expected text or a list"),
        ({"inputs": []}, "nothing given for inputs; give INPUT"),
        ({"models": []}, "nothing given for models; give --model"),
        ({"output": ""}, "nothing given for output; give --output"),
        ({"time_from": ["gps"]}, "time_from is 'gps', expected one of: column, guano"),
        ({"time_from": ["guono"]}, "did you mean guano?"),
        ({"time_from": ["name", "name"]}, "one or more of: .*each once"),
        ({"time_from": []}, "time_from is empty"),
        ({"timezone": "Europe/Berlim"}, "IANA .*did you mean Europe/Berlin?"),
        ({"timezone": "CEST"}, "timezone is 'CEST', expected a name of the IANA"),
        ({"timezone": "../etc/passwd"}, "expected a name of the IANA"),
        ({"timezone": "Europe"}, "expected a name of the IANA"),
        ({"timezone": ""}, "timezone is '', expected a name of the IANA"),
        ({"timezone": 2}, "timezone is 2, expected str or empty"),
        ({"runner": "spark"}, "runner is 'spark', expected one of: local"),
    ],
)
def test_wrong_options_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [], NEEDED | flags)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "not a list of"),
        ("a: [", "cannot read"),
        ("shard_clip: 3", "shard_clips"),
    ],
)
def test_wrong_yaml_is_refused(tmp_path: pathlib.Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path), [], NEEDED)


def test_missing_yaml_and_malformed_set_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="cannot read configuration"):
        load_config(str(tmp_path / "none.yaml"), [], NEEDED)
    with pytest.raises(ConfigError, match="expected key=value"):
        load_config(None, ["workers"], NEEDED)


def test_only_a_job_on_a_cluster_can_be_detached() -> None:
    settings = {"inputs": "x", "models": "m", "output": "o", "detach": True}
    assert load_config(None, [], {**settings, "runner": "flink"}).detach
    with pytest.raises(ConfigError, match="a local run ends with its launcher"):
        load_config(None, [], settings)
