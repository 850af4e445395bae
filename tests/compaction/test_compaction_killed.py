"""A compaction that is killed at random moments, with readers that run all the while.

The datasets are on a disk, or in a bucket of MinIO.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.dataset.commit_record import read_record
from pipeline.dataset.snapshot import Snapshot
from tests.compaction.small_parts import (
    Tables,
    assert_same_tables,
    copy_dataset,
    make_small_parts,
    read_plainly,
    read_snapshot,
)
from tests.conftest import ROOT
from tests.support.command_server import CommandServer
from tests.support.object_stores import (
    environment,
    make_s3_bucket,
    running_minio,
    s3_environment,
)
from transforms import storage

NUM_CLIPS, SHARD_CLIPS = 360, 4
# The last part may be put together with others or not.
MOST_LARGE = 8
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of 90 shards, which become about five parts of 1 MB."""
    folder = tmp_path_factory.mktemp("made") / "out"
    return make_small_parts(folder, NUM_CLIPS, 1500, SHARD_CLIPS).root


@pytest.fixture(scope="module")
def expected(made: str) -> Tables:
    return read_snapshot(Snapshot(made, None))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_minio(tmp_path_factory.mktemp("minio")) as url:
        with environment(**s3_environment(url)):
            make_s3_bucket("bucket")
            yield "s3://bucket"


class Reader:
    """Reads a dataset again and again in a thread, and compares its rows."""

    def __init__(self, root: str, expected: Tables) -> None:
        self._root, self._expected = root, expected
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self.num_reads = 0
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def _read(self) -> None:
        try:
            first = Snapshot(self._root, None)
            while not self._stop.is_set():
                for snapshot in (first, Snapshot(self._root, None)):
                    assert_same_tables(read_snapshot(snapshot), self._expected)
                    self.num_reads += 1
        except BaseException as error:
            self._error = error


@dataclasses.dataclass
class Kills:
    """What was killed, and read meanwhile."""

    num_killed: int = 0
    num_in_swap: int = 0
    num_reads: int = 0


def start_to_compact(commands: CommandServer, root: str) -> int:
    """Starts to compact a dataset to parts of 1 MB; returns the process id."""
    return commands.start(["compact", root, "--target-mb", "1"], ROOT)


def kill_once(commands: CommandServer, root: str, delay_s: float) -> bool:
    """Kills a compaction after a time; returns whether it was still going on."""
    pid = start_to_compact(commands, root)
    time.sleep(delay_s)
    # The process may have ended.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return commands.wait().returncode == -signal.SIGKILL


def kill_until_done(
    commands: CommandServer, root: str, expected: Tables, delays_s: Iterator[float]
) -> Kills:
    """Kills compactions of a dataset until one has ended before it was killed."""
    kills = Kills()
    with Reader(root, expected) as reader:
        while kill_once(commands, root, next(delays_s)):
            kills.num_killed += 1
            kills.num_in_swap += read_record(root).is_open
            assert_same_tables(read_snapshot(Snapshot(root, None)), expected)
    kills.num_reads = reader.num_reads
    assert 1 < len(Snapshot(root, None).parts) <= MOST_LARGE
    assert not storage.list_names(f"{root}/compacting")
    if storage.is_local(root):
        assert_same_tables(read_plainly(root), expected)
    return kills


def kill_at_random_moments(
    commands: CommandServer, made: str, expected: Tables, folder: str, num_kills: int
) -> Kills:
    """Kills compactions of copies of a dataset until there were enough kills."""
    rng = random.Random(num_kills)
    total = Kills()
    root = copy_dataset(made, f"{folder}/whole")
    start_to_compact(commands, root)
    # The first command waits for imports.
    start = time.monotonic()
    assert commands.wait().returncode == 0
    whole_s = time.monotonic() - start
    assert 1 < len(Snapshot(root, None).parts) <= MOST_LARGE
    # The delays grow, because readers and other tests may make compactions slower.
    delays_s = (rng.uniform(0, whole_s * (1 + n / 50)) for n in itertools.count())
    copies = itertools.count()
    while total.num_killed < num_kills:
        # A compaction may end before the first kill: kills do not count copies.
        root = copy_dataset(made, f"{folder}/{next(copies)}")
        kills = kill_until_done(commands, root, expected, delays_s)
        total.num_killed += kills.num_killed
        total.num_in_swap += kills.num_in_swap
        total.num_reads += kills.num_reads
    print(total)
    return total


@pytest.mark.slow
def test_rows_stay_the_same_though_compactions_are_killed_often(
    command_server: CommandServer, made: str, expected: Tables, tmp_path: pathlib.Path
) -> None:
    kills = kill_at_random_moments(command_server, made, expected, str(tmp_path), 30)
    assert kills.num_reads


@pytest.mark.minio
@pytest.mark.slow
def test_rows_in_a_bucket_stay_the_same_though_compactions_are_killed_often(
    command_server: CommandServer, made: str, expected: Tables, bucket: str
) -> None:
    kills = kill_at_random_moments(command_server, made, expected, bucket, 30)
    assert kills.num_reads
