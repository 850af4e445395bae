"""Notes of the deaths of workers, and the clips that are given up because of them.

A clip may kill its worker: it may be too long for the memory, or crash a decoder. The
process that started the worker then writes a note into the job's folder, with the clip
that was in hand. A clip with two notes is not tried again; for a clip that is computed
in parts, two notes about the same part count. The worker of a clip that
takes longer than its time limit is killed, and the clip is not tried again either.

If a device computed one shard while the worker prepared another, no clip is named.
After such a note RunModels has one shard at a time, and the next death names its clip.
"""

import collections
import hashlib
import json
import uuid
from collections.abc import Iterator

from transforms.elements import Failure
from transforms.storage import file_name, join, list_files, publish, read_file

# A clip that was in hand at this many deaths is given up.
_DEATHS_A_CLIP = 2
_FOLDER = "deaths"
_DIED, _TIMEOUT = "died", "timeout"
# Clip keys in the names of notes about workers that had no clip in hand, or two shards.
NO_CLIP, TWO_SHARDS = "none", "two"


def note_death(
    job_folder: str, clip_id: str | None, problem: str, part: str | None = None
) -> None:
    """Notes in a job's folder that a worker died.

    Args:
        job_folder: Path or uri of the job's folder.
        clip_id: The clip that was in hand; None between clips.
        problem: How the worker ended.
        part: The part of the clip that was in hand, in words; None for all of it.
    """
    _write_note(job_folder, _clip_key(clip_id, part), _DIED, clip_id, part, problem)


def note_death_with_two_shards(job_folder: str, problem: str) -> None:
    """Notes that a worker died while a device computed a shard, and it another one."""
    _write_note(job_folder, TWO_SHARDS, _DIED, None, None, problem)


def note_timeout(
    job_folder: str, clip_id: str, limit_s: float, part: str | None = None
) -> None:
    """Notes in a job's folder that a worker was killed because a clip took too long."""
    problem = f"it was not read and decoded within {limit_s:,.0f} s"
    _write_note(job_folder, _clip_key(clip_id, part), _TIMEOUT, clip_id, part, problem)


def _write_note(
    job_folder: str,
    key: str,
    cause: str,
    clip_id: str | None,
    part: str | None,
    problem: str,
) -> None:
    name = f"{key}-{cause}-{uuid.uuid4().hex}.json"
    note = {"clip_id": clip_id, "part": part, "problem": problem}
    with publish(join(job_folder, _FOLDER, name)) as file:
        file.write(json.dumps(note).encode())


def count_deaths(job_folder: str) -> collections.Counter[str]:
    """Number of deaths by clip key, by NO_CLIP, and by TWO_SHARDS.

    Workers that were killed because a clip took too long are not counted.
    """
    return collections.Counter(
        key for key, cause, _ in _notes(job_folder) if cause == _DIED
    )


def given_up(job_folder: str) -> dict[str, Failure]:
    """Failures of the clips that are not tried again, by clip_id."""
    failures = {}
    deaths: collections.Counter[str] = collections.Counter()
    for key, cause, uri in _notes(job_folder):
        deaths[key] += 1
        is_blamed = key not in (NO_CLIP, TWO_SHARDS)
        if cause == _TIMEOUT or (is_blamed and deaths[key] == _DEATHS_A_CLIP):
            note = json.loads(read_file(uri))
            failure = _timeout if cause == _TIMEOUT else _worker_died
            where = f"{note['part']} of clip" if note["part"] else "clip"
            failures[note["clip_id"]] = failure(
                f"{where} {note['clip_id']}", note["problem"]
            )
    return failures


def _notes(job_folder: str) -> Iterator[tuple[str, str, str]]:
    """Yields the clip key, the cause and the uri of each note."""
    for info in list_files(join(job_folder, _FOLDER)):
        key, cause, _ = file_name(info.uri).split("-")
        yield key, cause, info.uri


def _clip_key(clip_id: str | None, part: str | None) -> str:
    if clip_id is None:
        return NO_CLIP
    name = "\0".join([clip_id, part or ""])
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _worker_died(clip: str, problem: str) -> Failure:
    return Failure(
        "worker",
        "worker_died",
        f"worker processes died {_DEATHS_A_CLIP} times while working on {clip} "
        f"(the last: {problem}); it may be too long for the memory or crash the "
        "decoder: split or re-encode it",
    )


def _timeout(clip: str, problem: str) -> Failure:
    return Failure(
        "worker",
        "timeout",
        f"cannot use {clip}: {problem}, so its worker was stopped; re-encode it, or "
        " raise --clip-timeout if its disk or store is slow",
    )
