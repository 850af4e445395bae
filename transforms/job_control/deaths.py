"""Notes of the deaths of workers, and the clips that are given up because of them.

A clip may kill its worker: it may be too long for the memory, or crash a decoder. The
process that started the worker then writes a note into the job's folder, with the clip
that was in hand. A clip with two notes is not tried again.
"""

import collections
import hashlib
import json
import uuid

from transforms.storage import file_name, join, list_files, publish, read_file

# A clip that was in hand at this many deaths is given up.
_DEATHS_A_CLIP = 2
_FOLDER = "deaths"
# Clip key in the names of notes about workers that had no clip in hand.
NO_CLIP = "none"


def note_death(job_folder: str, clip_id: str | None, problem: str) -> None:
    """Notes in a job's folder that a worker died.

    Args:
        job_folder: Path or uri of the job's folder.
        clip_id: The clip that was in hand; None between clips.
        problem: How the worker ended.
    """
    name = f"{_clip_key(clip_id)}-{uuid.uuid4().hex}.json"
    with publish(join(job_folder, _FOLDER, name)) as file:
        file.write(json.dumps({"clip_id": clip_id, "problem": problem}).encode())


def count_deaths(job_folder: str) -> collections.Counter[str]:
    """Number of deaths by clip key; under NO_CLIP, deaths of workers without a clip."""
    return collections.Counter({k: len(v) for k, v in _notes(job_folder).items()})


def given_up(job_folder: str) -> dict[str, str]:
    """Messages for the clips on which several workers died, by clip_id."""
    reasons = {}
    for key, uris in _notes(job_folder).items():
        if key != NO_CLIP and len(uris) >= _DEATHS_A_CLIP:
            death = json.loads(read_file(uris[-1]))
            clip_id = death["clip_id"]
            reasons[clip_id] = _given_up_message(clip_id, death["problem"])
    return reasons


def _notes(job_folder: str) -> dict[str, list[str]]:
    """Uris of all notes, by the clip key at the start of their names."""
    notes = collections.defaultdict(list)
    for info in list_files(join(job_folder, _FOLDER)):
        notes[file_name(info.uri).partition("-")[0]].append(info.uri)
    return notes


def _clip_key(clip_id: str | None) -> str:
    if clip_id is None:
        return NO_CLIP
    return hashlib.sha256(clip_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _given_up_message(clip_id: str, problem: str) -> str:
    return (
        f"worker processes died {_DEATHS_A_CLIP} times while working on clip {clip_id} "
        f"(the last: {problem}); it may be too long for the memory or crash the "
        "decoder: split or re-encode it"
    )
