"""extract --patches: values of patches in half precision, or none of them."""

import pathlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.snapshot import vectors_of
from tests.conftest import Command
from tests.support.audio_files import make_readable
from tests.support.datasets import read
from transforms.schemas import PATCH_VALUES, check_outputs
from transforms.tables import rounded

OUTPUTS = "activations,embeddings,events"
# With this hop, the file of 25 s is a recording of several segments.
COMMON = ("--outputs", OUTPUTS, "--threshold", "0.3", "--patch-hop", "5")


@pytest.fixture(scope="module")
def outputs(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> dict[str, pathlib.Path]:
    """The same clips in each format; one of them is computed in segments."""
    folder = tmp_path_factory.mktemp("formats")
    make_readable(folder, "pcm16_22k.wav", seconds=25)
    make_readable(folder, "flac.flac", seconds=2.7)
    command = ["extract", folder / "*.*", "--model", tiny_model, "--long-clip", "6"]
    for name in ("float32", "float16", "none"):
        options = ("--patches", name) if name != "float32" else ()
        fsdsinet(*command, *COMMON, *options, "--output", folder / name / "out")
    return {name: folder / name / "out" for name in ("float32", "float16", "none")}


def rows_of(output: pathlib.Path, table: str, model: pathlib.Path) -> pa.Table:
    keys = {"patches": "patch", "events": "start_s"}
    found = read(output, f"{table}/model={model.stem}")
    order = ["clip_id", *([keys[table], "label"][: 1 + (table == "events")])]
    return found.sort_by([(name, "ascending") for name in order])


def test_values_are_those_of_float32_rounded(
    outputs: dict[str, pathlib.Path], tiny_model: pathlib.Path
) -> None:
    exact, halved = (
        rows_of(outputs[name], "patches", tiny_model) for name in ("float32", "float16")
    )
    assert exact.num_rows > 200
    for name in PATCH_VALUES:
        values, found = (vectors_of(table[name]) for table in (exact, halved))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.astype(np.float16))
        np.testing.assert_allclose(found, values, rtol=2.0**-11, atol=2.0**-25)
    others = [name for name in exact.column_names if name not in PATCH_VALUES]
    assert halved.select(others).equals(exact.select(others))
    sizes = [
        sum(path.stat().st_size for path in outputs[name].glob("patches/*/*"))
        for name in ("float16", "float32")
    ]
    assert sizes[0] < 0.75 * sizes[1]


@pytest.mark.parametrize("name", ["float16", "none"])
def test_clips_and_events_do_not_depend_on_the_format(
    name: str, outputs: dict[str, pathlib.Path], tiny_model: pathlib.Path
) -> None:
    assert (outputs[name] / "patches").exists() == (name == "float16")
    clips, expected = (
        read(outputs[x], f"clips/model={tiny_model.stem}").sort_by("clip_id")
        for x in (name, "float32")
    )
    assert clips.equals(expected)
    events = rows_of(outputs[name], "events", tiny_model)
    assert events.num_rows
    assert events.equals(rows_of(outputs["float32"], "events", tiny_model))


def test_commands_read_half_precision(
    outputs: dict[str, pathlib.Path],
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = outputs["float16"]
    (clip,) = [x for x in read(output, "ledger")["clip_id"].to_pylist() if "flac" in x]
    fsdsinet("plot", output, "--clip", clip, "--output", tmp_path / "a.png")
    fsdsinet("report", output, "--output", tmp_path / "a.html")
    found = fsdsinet("search", output, "--clip", clip, "--patches").stdout
    assert "pcm16" in found
    # Events with other settings are found in the patches.
    settings = ("--threshold", "0.29", "--output", tmp_path / "e.csv")
    assert "written to" in fsdsinet("events", output, *settings).stdout
    before = rows_of(output, "patches", tiny_model)
    fsdsinet("compact", output)
    assert rows_of(output, "patches", tiny_model).equals(before)


def test_commands_that_need_patches_say_that_there_are_none(
    outputs: dict[str, pathlib.Path], tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    output = outputs["none"]
    clip = read(output, "ledger")["clip_id"][0].as_py()
    for command in (
        ("plot", output, "--clip", clip, "--output", tmp_path / "a.png"),
        ("search", output, "--clip", clip, "--patches"),
    ):
        assert "--patches none" in fsdsinet(*command, code=2).stderr
    events = ("events", output, "--output", tmp_path / "e.csv")
    refused = fsdsinet(*events, "--smooth", "1", code=2).stderr
    assert "has no activations of patches" in refused
    fsdsinet(*events)
    assert len((tmp_path / "e.csv").read_text().splitlines()) > 2
    fsdsinet("report", output, "--output", tmp_path / "a.html")
    assert len(fsdsinet("search", output, "--clip", clip).stdout.splitlines()) == 2


def test_a_dataset_keeps_its_format(
    outputs: dict[str, pathlib.Path], tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    output = outputs["none"]
    command = ["extract", output.parent.parent / "*.*", "--model", tiny_model, *COMMON]
    refused = fsdsinet(*command, "--output", output, code=2).stderr
    assert "patches: was none, is float32" in refused
    again = fsdsinet(*command, "--output", output, "--patches", "none")
    assert "nothing to do" in again.stdout
    plan = [*command, "--output", f"{output}2", "--patches", "float16", "--dry-run"]
    sizes = fsdsinet(*plan).stdout
    plain = fsdsinet(*command, "--output", f"{output}2", "--dry-run").stdout
    row_bytes = [
        next(int(line.split()[-2].replace(",", "")) for line in text.splitlines()
             if line.startswith("patches: about"))
        for text in (sizes, plain)
    ]  # fmt: skip
    assert row_bytes[0] * 2 == row_bytes[1]


@pytest.mark.parametrize(
    ("outputs", "patches", "message"),
    [
        (("activations",), "float8", "expected one of float32, float16, none|float8"),
        (("events",), "float16", "stores no patches; leave out --patches"),
        (("events",), "none", "stores no patches; leave out --patches"),
    ],
)
def test_formats_that_do_not_suit_are_refused(
    outputs: tuple[str, ...], patches: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_outputs(outputs, patches)


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20))
def test_values_are_rounded_to_the_nearest_and_finite(values: list[float]) -> None:
    array = np.array(values, np.float32)
    found = rounded(array)
    assert np.isfinite(found).all()
    inside = np.abs(array) < 65504
    np.testing.assert_array_equal(found[inside], array[inside].astype(np.float16))
    assert (np.abs(found[~inside]) == 65504).all()
