"""What a run shows while it is running."""

import io
import os
import pathlib

import pytest

from pipeline.console import (
    DownloadLine,
    ProgressLine,
    counted,
    format_duration,
)
from transforms.errors import did_you_mean
from transforms.job_control import status
from transforms.job_control.status import (
    WorkerStatus,
    add_done,
    read_statuses,
    report_clip,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("pipeline.console.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("stream", "interval_s"), [(io.StringIO(), 10), (Terminal(), 0.5)]
)
def test_progress_shows_totals_speed_and_time_left(
    clock: list[float], stream: io.StringIO, interval_s: float
) -> None:
    line = ProgressLine(1000, stream)
    line.set_committed(200, 3, audio_s=3600.0)
    clock[0] += interval_s / 2
    line.update({})
    assert stream.getvalue() == ""
    clock[0] += interval_s
    line.update({})
    assert "200 of 1,000 clips, 3 failed, starting workers" in stream.getvalue()
    clock[0] = 200.0
    workers = {
        1: WorkerStatus("a", 150, 1, 3000, 7200.0),
        2: WorkerStatus(None, 50, 0, 1000, 0.0),
    }
    line.update(workers)
    shown = stream.getvalue()
    assert (
        "400 of 1,000 clips, 4 failed, 3 h 0 min of audio, 40 patches/s, "
        "72x real time, 5 min 0 s left"
    ) in shown
    assert shown.count("\n") == (0 if stream.isatty() else 2)
    line.close()
    assert stream.getvalue().endswith("\r" if stream.isatty() else "\n")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_download_is_shown_only_on_a_terminal(
    clock: list[float], stream: io.StringIO
) -> None:
    line = DownloadLine("a.pb", stream)
    line.update(100, None)
    assert stream.getvalue() == ""
    for total in (None, 20_000_000):
        clock[0] += 0.5
        line.update(1_234_567, total)
    line.close()
    shown = [text.strip() for text in stream.getvalue().split("\r")]
    expected = ["", "a.pb: 1.2 MB", "a.pb: 1.2 of 20.0 MB", "", ""]
    assert shown == (expected if stream.isatty() else [""])


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 clips"), (1, "1 clip"), (1000, "1,000 clips")]
)
def test_one_clip_is_not_many(clock: list[float], number: int, text: str) -> None:
    assert counted(number) == text
    stream = io.StringIO()
    line = ProgressLine(number, stream)
    clock[0] += 10
    line.update({})
    assert stream.getvalue() == f"0 of {text}, 0 failed, starting workers\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")],
)
def test_durations_have_readable_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("--modle", "did you mean --model?"),
        ("-model", "did you mean --model?"),
        ("--foo", ""),
        ("top", "did you mean --top?"),
        ("", ""),
    ],
)
def test_nearest_name_is_found_by_its_letters(name: str, hint: str) -> None:
    assert did_you_mean(name, ["--model", "--top"]) == hint


def test_the_status_of_a_worker_can_be_read_by_another_process(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(status.STATUS_FOLDER_VARIABLE, str(tmp_path))
    status._status_file.cache_clear()
    try:
        report_clip("a very long name, " * 10)
        add_done(False, num_patches=7, audio_s=3.5)
        report_clip("é")
    finally:
        status._status_file.cache_clear()
    expected = WorkerStatus("é", 1, 0, 7, 3.5)
    assert read_statuses(str(tmp_path)) == {os.getpid(): expected}


def test_a_half_written_status_is_ignored(tmp_path: pathlib.Path) -> None:
    (tmp_path / "1.json").write_text('{"clip_id": "a", "clips_d')
    (tmp_path / "2.json").touch()
    assert read_statuses(str(tmp_path)) == {}


def test_a_status_that_is_removed_while_the_folder_is_read_is_ignored(
    tmp_path: pathlib.Path,
) -> None:
    # A link to nothing is listed and cannot be read, like a file removed in between.
    (tmp_path / "1.json").symlink_to(tmp_path / "removed")
    assert read_statuses(str(tmp_path)) == {}
