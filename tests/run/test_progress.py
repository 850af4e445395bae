"""Progress within long recordings: audio done, time left, segments on a cluster."""

import io
import itertools
import os
import pathlib
import re

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipeline import console
from pipeline.cli.main import main
from pipeline.console import ProgressLine, recordings_left_s
from pipeline.dataset.folder import Dataset
from pipeline.launch.pending_audio import PendingAudio
from pipeline.runners import job_process
from pipeline.runners.ledger_progress import LedgerWatch
from tests.support.audio_files import signal
from transforms.elements import Prediction
from transforms.job_control import status
from transforms.job_control.status import (
    WorkerStatus,
    add_part,
    add_reused,
    begin_part,
    read_statuses,
    report_clip,
    report_read,
)
from transforms.recordings.unfinished import UnfinishedRecording

HOUR_S = 3600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def pending(*audio_s: float) -> PendingAudio:
    clip_ids = pa.chunked_array([pa.array([*"abcdef"[: len(audio_s)]])])
    return PendingAudio(clip_ids, np.array(audio_s), 600)


def shown(line: ProgressLine, stream: io.StringIO, *workers: WorkerStatus) -> str:
    """What is written for these statuses."""
    before = len(stream.getvalue())
    line.update(dict(enumerate(workers)))
    return stream.getvalue()[before:].rstrip("\n")


def test_a_long_recording_has_progress_from_its_first_pass_on(
    clock: list[float],
) -> None:
    stream = io.StringIO()
    line = ProgressLine(1, stream)
    line.set_pending(pending(HOUR_S))
    clock[0] += 10
    first = WorkerStatus("a", part="the first pass", read_s=1230.0)
    assert shown(line, stream, first) == (
        "0 of 1 clip, 0 failed, reading 1 recording for the first time "
        "(20 min 30 s so far)"
    )
    clock[0] += 10
    begun = WorkerStatus("a", recording_s=HOUR_S, started_s=115.0)
    assert shown(line, stream, begun) == (
        "0 of 1 clip, 0 failed, working on the first segments"
    )
    clock[0] += 10
    # Each has computed 300 s in 10 s, and is half done with the next 300 s.
    done = WorkerStatus("a", 0, 0, 600, 300.0, recording_s=HOUR_S, started_s=125.0)
    done.parts_s, done.parts_audio_s = 10.0, 300.0
    assert shown(line, stream, done, done) == (
        "0 of 1 clip, 0 failed, 10 min 0 s of audio, 40 patches/s, 20x real time, "
        "45 s left"
    )


def test_several_first_passes_are_shown_together_with_clips_that_are_done(
    clock: list[float],
) -> None:
    stream = io.StringIO()
    line = ProgressLine(3, stream)
    line.set_pending(pending(HOUR_S, HOUR_S, 1.0))
    clock[0] += 10
    workers = [
        WorkerStatus("a", part="the first pass", read_s=10.0),
        WorkerStatus("b", part="the first pass", read_s=20.0),
        WorkerStatus(None, 1, 0, 2, 1.0),
    ]
    assert shown(line, stream, *workers).endswith(
        "real time, reading 2 recordings for the first time (30 s so far)"
    )


def test_segments_of_an_earlier_run_count_as_done_but_not_as_fast(
    clock: list[float],
) -> None:
    stream = io.StringIO()
    line = ProgressLine(2, stream)
    line.set_committed(1, 0, audio_s=60.0)
    line.set_pending(pending(HOUR_S))
    clock[0] += 10
    worker = WorkerStatus("a", num_patches=600, audio_s=300.0, reused_s=3000.0)
    worker.parts_s, worker.parts_audio_s, worker.recording_s = 10.0, 300.0, HOUR_S
    assert shown(line, stream, worker) == (
        "1 of 2 clips, 0 failed, 56 min 0 s of audio, 60 patches/s, 30x real time, "
        "10 s left"
    )


def test_the_true_duration_replaces_the_predicted_one(clock: list[float]) -> None:
    stream = io.StringIO()
    line = ProgressLine(1, stream)
    line.set_pending(pending(4 * HOUR_S))
    clock[0] += 10
    worker = WorkerStatus("a", audio_s=600.0, parts_s=10.0, parts_audio_s=600.0)
    worker.recording_s = HOUR_S
    assert shown(line, stream, worker).endswith(" 50 s left")


def test_a_worker_between_two_segments_still_counts_as_busy(
    clock: list[float],
) -> None:
    stream = io.StringIO()
    line = ProgressLine(1, stream)
    line.set_pending(pending(HOUR_S))
    worker = WorkerStatus("a", audio_s=300.0, parts_s=10.0, parts_audio_s=300.0)
    worker.recording_s = HOUR_S
    between = WorkerStatus(None, audio_s=300.0, parts_s=10.0, parts_audio_s=300.0)
    clock[0] += 9
    assert shown(line, stream, worker, worker) == ""
    clock[0] += 1
    assert shown(line, stream, between, worker).endswith(" 50 s left")
    clock[0] += 10
    assert shown(line, stream, between, worker).endswith(" 1 min 40 s left")


def test_clips_before_a_recording_do_not_make_the_run_look_almost_done(
    clock: list[float],
) -> None:
    stream = io.StringIO()
    line = ProgressLine(10, stream)
    line.set_pending(pending(HOUR_S, 100.0, 100.0))
    clock[0] += 10
    worker = WorkerStatus("c", clips_done=9, audio_s=100.0)
    assert shown(line, stream, worker).endswith(" 6 min 10 s left")


def test_the_time_left_is_never_negative() -> None:
    worker = WorkerStatus("a", audio_s=300.0, parts_s=10.0, parts_audio_s=300.0)
    assert recordings_left_s([worker], 200.0, now=0.0) == 0


def test_recordings_that_are_not_measured_yet_are_corrected_like_the_others() -> None:
    audio = pending(1000.0, 1000.0, 30.0)
    assert audio.has_recordings and audio.total_s == 2030
    for _ in range(2):
        audio.measure("a", 2500.0)
        audio.measure("not pending", 1e6)
    assert audio.total_s == 2500 + 2500 + 30
    audio.measure("b", 700.0)
    assert audio.total_s == 2500 + 700 + 30


def test_a_clip_that_is_longer_than_predicted_becomes_a_recording() -> None:
    audio = pending(300.0, 30.0)
    assert not audio.has_recordings
    audio.measure("a", 1200.0)
    assert audio.has_recordings and audio.total_s == 1230


def test_a_worker_reports_the_parts_of_a_recording(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setenv(status.STATUS_FOLDER_VARIABLE, str(tmp_path))
    status._status_file.cache_clear()

    def reported() -> WorkerStatus:
        return read_statuses(str(tmp_path))[os.getpid()]

    try:
        report_clip("a", 30.0, "the first pass")
        report_read(1.0)
        assert reported().read_s is None, "written a moment before"
        clock[0] += 1
        report_read(2.0)
        assert reported().read_s == 2
        report_clip(None)
        add_reused(10.0)
        begin_part("a", "segment 1 of 9", 90.0)
        # Opening the file sets a time limit for the part in hand.
        report_clip("a", 30.0, "segment 1 of 9")
        assert (reported().read_s, reported().recording_s) == (None, 90)
        assert reported().started_s == clock[0]
        clock[0] += 4
        add_part(20, 10.0)
        expected = WorkerStatus("a", 0, 0, 20, 10.0, part="segment 1 of 9")
        expected.limit_s, expected.deadline_s = 30.0, clock[0] + 26
        expected.recording_s, expected.reused_s = 90.0, 10.0
        expected.parts_s, expected.parts_audio_s = 4.0, 10.0
        assert reported() == expected
        report_clip("b")
        assert reported().recording_s is None
    finally:
        status._status_file.cache_clear()


def test_a_cluster_job_shows_the_segments_that_are_done(
    tmp_path: pathlib.Path,
) -> None:
    watch = LedgerWatch(Dataset(str(tmp_path)))
    watch.poll()
    assert watch.note("RUNNING") == "job running"
    scores = np.zeros((2, 3), np.float32)
    for index in range(2):
        folder = UnfinishedRecording(str(tmp_path), f"shard-{index}")
        folder.write_samples(5, scores.ravel())
        folder.write_results(index, {"m": Prediction(scores, scores)}, False)
    watch = LedgerWatch(Dataset(str(tmp_path)))
    watch.poll()
    assert watch.note("RUNNING") == (
        "job running, 2 segments of recordings in hand done"
    )


@pytest.mark.slow
def test_progress_moves_within_a_recording(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(console, "_PLAIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(job_process, "_POLL_S", 0.01)
    samples = signal(22050 * 240, 22050)[0]
    soundfile.write(tmp_path / "long.wav", samples, 22050, "PCM_16")
    output = tmp_path / "out"
    options = ("--model", tiny_model, "--output", output, "--workers", "2")
    short = ("--long-clip", "6", "--patch-hop", "5")
    arguments = ["extract", tmp_path / "long.wav", *options, *short]
    assert main([str(argument) for argument in arguments]) == 0
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("0 of 1 clip")]
    texts = [re.search(r"failed, (.* of audio), .* left", line) for line in lines]
    amounts = [key for key, _ in itertools.groupby(text[1] for text in texts if text)]
    assert len(amounts) > 2
    assert len(set(amounts)) == len(amounts), "the audio done never gets less"
    work = next(line for line in out.splitlines() if line.startswith("work of all"))
    assert "first pass " in work and work.endswith("models loaded: 2 winograd")
