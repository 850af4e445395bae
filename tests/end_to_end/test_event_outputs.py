"""extract --outputs events: the events of workers are those of the stored patches."""

import pathlib

import pytest

from tests.conftest import Command
from tests.support.audio_files import make_readable
from tests.support.datasets import read

# The tiny model has random weights: its activations are near 0.27.
EVENTS = ("--threshold", "0.3", "--low", "0.29", "--smooth", "1.5", "--bounds", "hop")
# With this hop, the file of 25 s is a recording of several segments.
COMMON = ("--patch-hop", "5", "--long-clip", "6")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("sounds")
    make_readable(folder, "pcm16_22k.wav", seconds=25)
    make_readable(folder, "flac.flac", seconds=2.7)
    (folder / "broken.wav").write_bytes(b"not audio")
    rows = [
        "uri,start_s,end_s",
        "pcm16_22k.wav,3,5",
        "pcm16_22k.wav,10,",
        "flac.flac,,",
    ]
    (folder / "excerpts.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("name", ["", "excerpts.csv"])
def test_workers_find_the_events_of_the_patches(
    name: str,
    sounds: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    command = ["extract", sounds / name, "--model", tiny_model, *COMMON]
    patches, events = tmp_path / "patches", tmp_path / "events"
    fsdsinet(*command, "--output", patches)
    fsdsinet(*command, "--output", events, "--outputs", "events", *EVENTS)
    assert not (events / "patches").exists()
    found, expected = tmp_path / "found.csv", tmp_path / "expected.csv"
    fsdsinet("events", events, "--output", found)
    fsdsinet("events", patches, "--output", expected, *EVENTS)
    assert found.read_text() == expected.read_text()
    assert len(expected.read_text().splitlines()) > 10
    assert read(events, f"clips/model={tiny_model.stem}").num_rows == (3 if name else 2)
    # The same command finds nothing to do; other settings are refused.
    said = fsdsinet(*command, "--output", events, "--outputs", "events", *EVENTS)
    assert "nothing to do" in said.stdout
    refused = fsdsinet(
        *command, "--output", events, "--outputs", "events", *EVENTS[2:], code=2
    )
    assert "events, low: " not in refused.stderr
    assert "events, threshold: was 0.3, is None" in refused.stderr
    for other in ([*EVENTS], ["--label", "no such label"]):
        fsdsinet("events", events, "--output", found, *other, code=2)


def test_options_of_events_need_the_output(
    sounds: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    command = ["extract", sounds, "--model", tiny_model, "--output", tmp_path / "out"]
    refused = fsdsinet(*command, "--smooth", "1", code=2)
    assert "add events to --outputs" in refused.stderr
    options = ("--outputs", "events", "--label", "speech")
    refused = fsdsinet(*command, *options, code=2)
    assert "there is no label 'speech'; did you mean Speech?" in refused.stderr
    assert not (tmp_path / "out").exists()
