"""Runs the command as a user does, and compares with a loop over its functions."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Command
from tests.support.audio_files import make_readable, make_wav, signal
from tests.support.datasets import MODEL, assert_same_dataset, assert_tidy, read
from training.synthesis.encode import encode
from transforms.audio import decode_audio
from transforms.elements import Clip, ClipError
from transforms.engines.essentia import EssentiaEngine
from transforms.features import compute_patches
from transforms.front_end.patches import PatchSpec
from transforms.models.loading import load_model


@pytest.fixture
def copied(corpus_dataset: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the dataset, which a test may change."""
    return shutil.copytree(corpus_dataset, tmp_path / "out")


def test_the_reference_engine_gives_the_dataset_of_a_plain_loop(
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = tmp_path / "out"
    options = ("--engine", "essentia", "--output", output)
    fsdsinet("extract", corpus, "--model", tiny_model, *options)
    assert_equals_a_plain_loop(output, corpus, tiny_model, 0.0)


def test_the_default_engine_gives_nearly_the_dataset_of_a_plain_loop(
    corpus_dataset: pathlib.Path, corpus: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    assert_equals_a_plain_loop(corpus_dataset, corpus, tiny_model, 1e-5)


def assert_equals_a_plain_loop(
    output: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    tolerance: float,
) -> None:
    engine = EssentiaEngine(load_model(str(tiny_model)))
    patches = read(output, f"patches/model={MODEL}").to_pandas()
    ledger = read(output, "ledger").to_pylist()
    assert [row["uri"] for row in ledger] == sorted(map(str, corpus.iterdir()))
    for row in ledger:
        rows = patches[patches["clip_id"] == row["clip_id"]]
        try:
            clip = decode_audio(Clip("clip", row["uri"]))
        except ClipError as error:
            assert (row["status"], row["error_type"]) == ("failed", error.error_type)
            assert row["clip_id"] in row["error"]
            assert rows.empty
            continue
        expected = engine.run(compute_patches(clip, PatchSpec()).patches)  # type: ignore[arg-type]
        assert (row["status"], row["num_patches"]) == ("ok", len(expected.activations))
        activations = np.stack(rows["activations"].tolist())
        embeddings = np.stack(rows["embedding"].tolist())
        np.testing.assert_allclose(
            activations, expected.activations, rtol=0, atol=tolerance
        )
        np.testing.assert_allclose(
            embeddings, expected.embeddings, rtol=0, atol=tolerance
        )


@pytest.mark.parametrize(("workers", "shard_clips"), [(2, 1), (1, 100)])
def test_workers_and_shards_do_not_change_the_dataset(
    corpus_dataset: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
    workers: int,
    shard_clips: int,
) -> None:
    output = tmp_path / "out"
    fsdsinet(
        "extract", corpus, "--model", tiny_model, "--output", output,
        "--workers", workers, "--shard-clips", shard_clips,
    )  # fmt: skip
    assert len(list((output / "ledger").iterdir())) == -(-12 // shard_clips)
    assert_same_dataset(output, corpus_dataset)
    assert_tidy(output)


def make_odd_files(folder: pathlib.Path) -> dict[str, str]:
    """Writes unusual files; returns file name -> expected status or error type."""
    whole = make_readable(folder, "flac.flac")
    nan = signal(30000, 22050)
    nan[0, 100] = np.nan
    encode(folder / "nan.wav", nan, 22050, "pcm_f32le")
    encode(folder / "zeros.wav", np.zeros((1, 30000)), 22050, "pcm_s16le")
    encode(folder / "opus.opus", signal(96000, 48000), 48000, "libopus")
    encode(folder / "quad.wav", signal(30000, 22050, 4), 22050, "pcm_s16le")
    (folder / "cut.flac").write_bytes(whole.read_bytes()[:-20000])
    (folder / "random.wav").write_bytes(np.random.default_rng(1).bytes(9999))
    (folder / "text.mp3").write_text("no audio here")
    (folder / "empty.ogg").touch()
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    wav = make_wav(folder / "plain.wav", 30000)
    for name, rate_hz in (("1hz.wav", 1), ("4ghz.wav", 4_000_000_000)):
        data = bytearray(wav.read_bytes())
        data[24:28] = rate_hz.to_bytes(4, "little")
        (folder / name).write_bytes(data)
    odd_names = [
        "a b.wav",
        "a:b.wav",
        "%03d.wav",
        "café 猫.wav",
        "'quote\".wav",
        "-x.wav",
    ]
    for name in odd_names:
        shutil.copy(wav, folder / name)
    ok = ["flac.flac", "zeros.wav", "opus.opus", "quad.wav", "cut.flac", "plain.wav"]
    return dict.fromkeys([*ok, *odd_names], "ok") | {
        "nan.wav": "non_finite",
        "random.wav": "not_audio",
        "text.mp3": "not_audio",
        "empty.ogg": "not_audio",
        "folder.wav": "not_a_file",
        "pipe.wav": "not_a_file",
        "1hz.wav": "unsupported_rate",
        "4ghz.wav": "not_audio",
        "missing.wav": "not_found",
    }


def test_every_manifest_row_ends_as_one_ledger_row(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    expected = make_odd_files(folder)
    manifest = pa.table(
        {
            "clip_id": list(expected),
            "uri": list(expected),
            "status": ["mine"] * len(expected),
            "rating": pa.array(range(len(expected)), pa.uint8()),
        }
    )
    pq.write_table(manifest, folder / "m.parquet")
    output = tmp_path / "out"
    done = fsdsinet(
        "extract", folder / "m.parquet", "--model", tiny_model, "--output", output
    )
    num_failed = sum(value != "ok" for value in expected.values())
    assert f"{len(expected) - num_failed} clips ok, {num_failed} failed" in done.stdout
    ledger = read(output, "ledger")
    assert ledger["rating"].type == pa.uint8()
    rows = {row["clip_id"]: row for row in ledger.to_pylist()}
    assert ledger.num_rows == len(expected)
    found = {key: row["error_type"] or row["status"] for key, row in rows.items()}
    assert found == expected
    for clip_id, row in rows.items():
        assert row["manifest_status"] == "mine"
        assert row["error"] is None or clip_id in row["error"]
        assert row["uri"] == str(folder / clip_id)
    assert rows["cut.flac"]["flags"] == ["damaged", "truncated"]
    assert rows["quad.wav"]["flags"] == ["multichannel"]
    assert rows["zeros.wav"]["flags"] == ["silent"]
    assert rows["opus.opus"]["codec"] == "opus"
    assert_tidy(output)


def test_fail_on_error_exits_with_1(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    arguments = ("extract", corpus / "text.wav", "--model", tiny_model)
    output = ("--output", tmp_path / "out", "--fail-on-error")
    done = fsdsinet(*arguments, *output, code=1)
    assert "0 clips ok, 1 failed" in done.stdout


def test_a_finished_run_reports_that_nothing_is_to_do(
    copied: pathlib.Path, fsdsinet: Command
) -> None:
    run = json.loads((copied / "run.json").read_text())
    before = {p: p.stat().st_mtime_ns for p in copied.rglob("*.parquet")}
    config = run["config"]
    done = fsdsinet(
        "extract", *config["inputs"], "--model", *config["models"], "--output", copied
    )
    assert "nothing to do: 12 clips are done" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in copied.rglob("*.parquet")}


def test_a_grown_manifest_continues(
    tmp_path: pathlib.Path,
    corpus_dataset: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, manifest = tmp_path / "out", tmp_path / "m.csv"
    clip_ids = {
        r["uri"]: r["clip_id"] for r in read(corpus_dataset, "ledger").to_pylist()
    }
    rows = [f"{uri},{clip_id}\n" for uri, clip_id in clip_ids.items()]
    command = ("extract", manifest, "--model", tiny_model, "--output", output)
    manifest.write_text("uri,clip_id\n" + "".join(rows[3:8]))
    fsdsinet(*command)
    first = {p: p.stat().st_mtime_ns for p in (output / "ledger").iterdir()}
    # New rows before, between and after the old ones.
    manifest.write_text("uri,clip_id\n" + "".join(rows))
    fsdsinet(*command)
    assert (
        first.items()
        <= {p: p.stat().st_mtime_ns for p in (output / "ledger").iterdir()}.items()
    )
    assert_same_dataset(output, corpus_dataset)
    manifest.write_text("uri,clip_id\n" + "".join(rows[1:]))
    refused = fsdsinet(*command, code=2)
    assert "1 clips of the dataset are not in it" in refused.stderr


def test_other_settings_are_refused_with_old_and_new_value(
    corpus_dataset: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    other = tiny_model.with_name("random-tiny-aps.pb")
    refused = fsdsinet(
        "extract", corpus, "--model", other, "--output", corpus_dataset,
        "--patch-hop", 25, "--last-patch", "discard", "--outputs", "embeddings", code=2,
    )  # fmt: skip
    assert "patch_hop: was 50, is 25" in refused.stderr
    assert "last_patch: was repeat, is discard" in refused.stderr
    assert "random-tiny-tlpf sha256" in refused.stderr
    assert "random-tiny-aps sha256" in refused.stderr
    assert "--overwrite" in refused.stderr


def test_overwrite_replaces_the_dataset(
    copied: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = copied
    options = ("--overwrite", "--outputs", "embeddings", "--last-patch", "discard")
    fsdsinet("extract", corpus, "--model", tiny_model, "--output", output, *options)
    patches = read(output, f"patches/model={MODEL}")
    assert patches.column_names == ["clip_id", "patch", "start_s", "end_s", "embedding"]
    clips = read(output, f"clips/model={MODEL}")
    assert clips.column_names == ["clip_id", "num_patches", "embedding_mean"]
    rows = read(output, "ledger").to_pylist()
    short = next(row for row in rows if "clip0" in row["uri"])
    assert (short["status"], short["num_patches"], short["flags"]) == (
        "ok",
        0,
        ["short"],
    )
    assert_tidy(output)


def test_unusual_folders_and_file_names(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    """Modules in the current folder are not imported; other files in OUT stay."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("transforms.py", "random.py"):
        (here / name).write_text(
            "raise RuntimeError('the program must not import this')"
        )
    wav = make_wav(here / "a.wav", 30000)
    shutil.copy(wav, here / os.fsdecode(b"b\xe9.wav"))
    output = here / "out"
    manifest = here / "m.jsonl"
    rows = [{"uri": "a.wav", "clip_id": "a\nb"}, {"uri": "a.wav", "clip_id": "c"}]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    program = pathlib.Path(sys.executable).with_name("fsdsinet")
    command = [program, "extract", manifest, here / "*.wav", "--model", tiny_model]
    done = subprocess.run(
        [*map(str, command), "--output", "out", "--shard-clips", "1"],
        cwd=here,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert b"4 clips ok, 0 failed" in done.stdout
    uris = [row["uri"] for row in read(output, "ledger").to_pylist()]
    assert [uri.endswith("/b%E9.wav") for uri in uris].count(True) == 1
    (output / ".notes.tmp").touch()
    (output / "clips" / "mine.txt").touch()
    fsdsinet("extract", wav, "--model", tiny_model, "--output", output, "--overwrite")
    assert (output / ".notes.tmp").exists() and (output / "clips" / "mine.txt").exists()
    assert read(output, "ledger").num_rows == 1


def test_a_run_killed_after_its_last_shard_is_finished_by_the_next_run(
    copied: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    run = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(
        json.dumps(run | {"state": "running", "totals": None})
    )
    (copied / "plan.arrow").touch()
    for name in ("0" * 20, "1" * 20):
        (copied / "unfinished" / name).mkdir(parents=True)
    (copied / "unfinished" / name / "samples-00001.f32").touch()
    fsdsinet("extract", corpus, "--model", tiny_model, "--output", copied)
    again = json.loads((copied / "run.json").read_text())
    assert (again["state"], again["totals"]) == ("finished", run["totals"])
    assert_tidy(copied)


def test_a_model_with_other_classes_is_refused(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    model, output = tmp_path / "model.pb", tmp_path / "out"
    metadata = json.loads(tiny_model.with_suffix(".json").read_text())
    shutil.copy(tiny_model, model)
    model.with_suffix(".json").write_text(json.dumps(metadata))
    command = ("extract", corpus / "clip2.wav", "--model", model, "--output", output)
    fsdsinet(*command)
    metadata["classes"].reverse()
    model.with_suffix(".json").write_text(json.dumps(metadata))
    assert "models: was" in fsdsinet(*command, code=2).stderr


def test_retry_failed_replaces_only_the_failed_rows(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(corpus, folder)
    whole, output = tmp_path / "whole", tmp_path / "out"
    (folder / "clip3.wav").rename(tmp_path / "clip3.wav")
    names = sorted(path.name for path in folder.iterdir())
    manifest = folder / "m.csv"
    manifest.write_text("uri\n" + "\n".join([*names, "clip3.wav"]))
    command = ("extract", manifest, "--model", tiny_model, "--shard-clips", 3)
    fsdsinet(*command, "--output", output)
    ledger = read(output, "ledger").to_pylist()
    assert [r["error_type"] for r in ledger].count("not_found") == 1
    (tmp_path / "clip3.wav").rename(folder / "clip3.wav")
    done = fsdsinet(*command, "--output", output, "--retry-failed")
    assert "10 clips ok, 2 failed" in done.stdout
    fsdsinet(*command, "--output", whole)
    assert_same_dataset(output, whole)
    assert_tidy(output)


def test_several_models_share_one_run(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    other = tiny_model.with_name("random-tiny-tlpf_aps.pb")
    output = tmp_path / "out"
    fsdsinet(
        "extract", corpus / "clip9.wav", "--model", tiny_model, "--model", other,
        "--output", output,
    )  # fmt: skip
    both = [read(output, f"patches/model={m.stem}") for m in (tiny_model, other)]
    assert both[0].num_rows == both[1].num_rows == 8
    assert not both[0]["activations"].equals(both[1]["activations"])
