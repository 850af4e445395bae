"""Shows a shift test as lines on the console."""

from collections.abc import Iterator

from pipeline.console import counted
from pipeline.results.evaluation.intervals import Estimate
from pipeline.results.shift_test.summary import Estimates, Summary

# Measure -> heading of its column, and number of decimals of its percentages.
_COLUMNS = {
    "consistency": ("same top label", 1),
    "mean_change": ("mean change", 3),
    "largest_change": ("largest change", 2),
    "embedding_change": ("embedding", 2),
    "embedding_cosine_distance": ("cosine distance", 3),
}
_WIDTH = 21
# Number of offsets and of classes that are shown.
_NUM_OFFSETS, _NUM_CLASSES = 8, 5


def shift_lines(summary: Summary, bins: Summary | None = None) -> list[str]:
    """Returns the lines for the console.

    Args:
        summary: The shifts in time.
        bins: The shifts in mel bins, if there are any.
    """
    return [
        *_axis_lines(summary),
        *(line for one in [bins] if one for line in ("", *_axis_lines(one))),
        _most_changed_line(summary),
    ]


def _axis_lines(summary: Summary) -> list[str]:
    clips = summary.clips
    offsets = summary.offsets
    num_offsets = counted(len(offsets), "offset", "offsets")
    left_out = [
        f"{counted(len(names))} left out: {reason}"
        for reason, names in clips.left_out.items()
    ]
    return [
        f"{counted(len(clips.clip_ids))}, {num_offsets} of {offsets[0]:g} to "
        f"{offsets[-1]:g} {clips.unit}; all in %, means with 95 % intervals",
        *left_out,
        *(line for name in summary.averages for line in _model_lines(summary, name)),
        *_difference_lines(summary),
    ]


def _model_lines(summary: Summary, model: str) -> Iterator[str]:
    """Means of a model: of some offsets, evenly chosen, and of the largest classes."""
    offsets, averages = summary.offsets, summary.averages[model]
    step = -(-len(offsets) // _NUM_OFFSETS)
    # The largest offset is among them.
    shown = range((len(offsets) - 1) % step, len(offsets), step)
    rows = {"all offsets": averages.overall}
    rows |= {
        f"{offsets[i]:g} {summary.clips.unit}": averages.by_offset[i] for i in shown
    }
    for one in summary.classes[model][:_NUM_CLASSES]:
        rows[f"{one.label} ({counted(one.num_clips)})"] = one.overall
    yield from _table(model, rows)


def _difference_lines(summary: Summary) -> Iterator[str]:
    for (model, other), averages in summary.differences.items():
        yield from _table(f"{model} minus {other}", {"all offsets": averages.overall})


def _table(title: str, rows: dict[str, Estimates]) -> Iterator[str]:
    width = max(map(len, rows))
    yield from ("", title)
    heading = "".join(f"  {name:{_WIDTH}}" for name, _ in _COLUMNS.values())
    yield f"{'':{width}}{heading}".rstrip()
    for name, estimates in rows.items():
        cells = (
            f"  {_text(estimates[x], digits):{_WIDTH}}"
            for x, (_, digits) in _COLUMNS.items()
        )
        yield f"{name:{width}}{''.join(cells)}".rstrip()


def _text(one: Estimate, num_digits: int) -> str:
    """An estimate in percent; a difference that rounds to 0 has no sign."""
    value, low, high = (
        f"{round(100 * x, num_digits) + 0.0:.{num_digits}f}"
        for x in (one.value, one.low, one.high)
    )
    return f"{value} [{low}, {high}]"


def _most_changed_line(summary: Summary) -> str:
    most = summary.most_changed
    clip_id = summary.clips.clip_ids[most.clip]
    return (
        f"\nclip that changes most: {clip_id}, by {most.model}: {most.label} from "
        f"{most.before:.3f} to {most.after:.3f} at {most.offset:g} ms"
    )
