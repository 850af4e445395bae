"""Finds the clips that a ground truth of events names, and cuts the events to them."""

import collections
import dataclasses
import functools
import math

import numpy as np

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.inputs.excerpts import END, START
from pipeline.results.evaluation.settings import Missing
from pipeline.results.event_scores.truth import EventTruth, Name, TrueEvent
from transforms import storage

# Times by hand are often rounded: an event that ends this much later than its clip is
# not called cut.
_ROUNDING_S = 0.01


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip to score.

    Attributes:
        clip_id: Id of the clip; for a clip that is not in the dataset, its name in the
            ground truth.
        recording: Uri of its file; the name if the clip is not in the dataset.
        start_s: Start in the file.
        end_s: End in the file; infinite if it is not known.
        problem: Why the clip has no results; empty if it has.
    """

    clip_id: str
    recording: str
    start_s: float = 0.0
    end_s: float = math.inf
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class ScoredClips:
    """Clips to score, and their true events.

    Attributes:
        clips: Clips to score, also those without a result that count.
        events: True events of each clip, with times in the file, within the clip.
        without_result: Reason why a named clip has no result -> number of clips.
        num_cut: Number of events of which a part lies outside of the clips.
        num_outside: Number of events that lie outside of the clips.
    """

    clips: list[Clip]
    events: list[list[TrueEvent]]
    without_result: dict[str, int]
    num_cut: int
    num_outside: int


def read_scored_clips(
    snapshot: Snapshot, truth: EventTruth, all_clips: bool, missing: Missing
) -> ScoredClips:
    """Finds the clips to score.

    Args:
        snapshot: Dataset to read.
        truth: Ground truth.
        all_clips: Whether clips with results that the ground truth does not name are
            scored: they then have no true events.
        missing: Whether clips without a result are kept (`zero`) or not (`skip`).

    Raises:
        ConfigError: if the ground truth names no clip with a result, or several
            recordings have a name.
    """
    finder = _Finder(snapshot, truth)
    clips, events = finder.clips, collections.defaultdict[int, list[TrueEvent]](list)
    num_cut = num_outside = 0
    for name, of_name in truth.events.items():
        indices = finder.find(name)
        parts = _Parts([clips[i] for i in indices])
        for index in indices:
            # A clip without events is scored, too.
            events[index] += []
        for event in of_name:
            cut, is_whole = parts.cut(event)
            num_outside += not cut
            num_cut += bool(cut) and not is_whole
            for place, part in cut:
                events[indices[place]].append(part)
    if all(clips[i].problem for i in events):
        raise finder.nothing_found()
    reasons = collections.Counter(p for i in events if (p := clips[i].problem))
    if all_clips:
        events.update({i: [] for i in range(len(clips)) if i not in events})
    kept = [
        i
        for i in sorted(events)
        if not clips[i].problem or (missing == "zero" and events[i])
    ]
    return ScoredClips(
        [clips[i] for i in kept],
        [events[i] for i in kept],
        dict(reasons.most_common()),
        num_cut,
        num_outside,
    )


class _Parts:
    """Cuts events to clips that are parts of one file, or the whole file."""

    def __init__(self, clips: list[Clip]) -> None:
        self._starts = np.array([clip.start_s for clip in clips])
        self._ends = np.array([clip.end_s for clip in clips])

    def cut(self, event: TrueEvent) -> tuple[list[tuple[int, TrueEvent]], bool]:
        """Returns the index of every clip that the event is in, and its part there.

        Also returns whether a clip has the whole event.
        """
        starts, ends = self._starts, self._ends
        is_in = (event.start_s < ends) & (
            (starts < event.end_s) | (starts == event.start_s)
        )
        is_whole = (
            is_in
            & (starts <= event.start_s + _ROUNDING_S)
            & (event.end_s <= ends + _ROUNDING_S)
        )
        parts = [
            (
                int(place),
                event._replace(
                    start_s=max(event.start_s, float(starts[place])),
                    end_s=min(event.end_s, float(ends[place])),
                ),
            )
            for place in np.flatnonzero(is_in)
        ]
        return parts, bool(is_whole.any())


class _Finder:
    """Finds clips by the names in a ground truth.

    Attributes:
        clips: Clips of the dataset, and those that are not in the dataset.
    """

    def __init__(self, snapshot: Snapshot, truth: EventTruth) -> None:
        self.clips = _read_clips(snapshot)
        self._dataset, self._truth = snapshot.dataset.shown, truth
        self._by_id = {clip.clip_id: i for i, clip in enumerate(self.clips)}
        self._by_uri = collections.defaultdict[str, list[int]](list)
        for i, clip in enumerate(self.clips):
            self._by_uri[clip.recording].append(i)

    def find(self, name: Name) -> list[int]:
        """Returns the indexes of the clips that have a name.

        A clip without results is added for a name that the dataset does not have.

        Raises:
            ConfigError: if several recordings have the name.
        """
        if name.clip_id in self._by_id:
            return [self._by_id[name.clip_id]]
        uri = name.uri
        if not uri:
            return self._add(name)
        for form in (uri, self._absolute(uri)):
            if form in self._by_uri:
                return self._by_uri[form]
        ends = "/" + uri
        uris = [
            other
            for other in self._by_file_name.get(storage.file_name(uri), [])
            if other.endswith(ends)
        ]
        if len(uris) > 1:
            raise ConfigError(
                f"events {self._truth.source} names {uri!r}, the name of "
                f"{len(uris)} recordings in {self._dataset}: {uris[0]}, {uris[1]}"
                f"{', ...' if len(uris) > 2 else ''}; give the whole path"
            )
        return self._by_uri[uris[0]] if uris else self._add(name)

    def nothing_found(self) -> ConfigError:
        """Returns the error that no clip of the ground truth has a result."""
        first = next(iter(self._truth.events))
        return ConfigError(
            f"no recording of events {self._truth.source} has a result in "
            f"{self._dataset}: the first row names {(first.clip_id or first.uri)!r}, "
            f"the dataset has clip {self.clips[0].clip_id!r} of "
            f"{self.clips[0].recording}"
        )

    def _add(self, name: Name) -> list[int]:
        text = name.clip_id or name.uri
        self.clips.append(Clip(text, text, problem="not in the dataset"))
        return [len(self.clips) - 1]

    def _absolute(self, uri: str) -> str:
        try:
            return storage.absolute(storage.resolve(self._truth.folder, uri))
        except ValueError:
            # A file of another machine is not in the dataset.
            return uri

    @functools.cached_property
    def _by_file_name(self) -> dict[str, list[str]]:
        names = collections.defaultdict[str, list[str]](list)
        for uri in self._by_uri:
            names[storage.file_name(uri)].append(uri)
        return names


def _read_clips(snapshot: Snapshot) -> list[Clip]:
    columns = ["clip_id", "uri", "status", "num_patches", "duration_s"]
    columns += [START, END] if snapshot.has_excerpts() else []
    clips = []
    for row in snapshot.ledger(columns).to_pylist():
        start_s = row.get(START) or 0.0
        end_s, problem = row.get(END), ""
        if row["status"] != "ok":
            problem = "failed"
        elif not row["num_patches"]:
            problem = "shorter than one patch"
        if row["duration_s"] is not None:
            end_s = start_s + row["duration_s"]
        end_s = math.inf if end_s is None else end_s
        clips.append(Clip(row["clip_id"], row["uri"], start_s, end_s, problem))
    return clips
