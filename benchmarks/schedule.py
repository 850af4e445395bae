"""Which worker does which shard, and when it is done: simulated.

Shards are seconds of work, in the order of the plan: the largest first. A worker of
speed 1.1 does 1.1 seconds of work in a second.
"""

import heapq
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
# Work of the shards and speeds of the workers to the moment each shard is done.
Way = Callable[[Seconds, Seconds], Seconds]


def dealt(work_s: Seconds, speeds: Seconds) -> Seconds:
    """Shards are dealt in turn at the start, as on Flink; none is ever passed on."""
    done_s = np.empty(len(work_s))
    for worker, speed in enumerate(speeds):
        mine = slice(worker, None, len(speeds))
        done_s[mine] = work_s[mine].cumsum() / speed
    return done_s


def taken(work_s: Seconds, speeds: Seconds) -> Seconds:
    """A worker takes the next shard when it is free, as in local runs."""
    if len(work_s) and not np.ptp(work_s) and not np.ptp(speeds):
        # In turn, and millions of shards would take their time.
        return dealt(work_s, speeds)
    done_s = np.empty(len(work_s))
    free = [(0.0, worker) for worker in range(len(speeds))]
    speed_of = speeds.tolist()
    for shard, work in enumerate(work_s.tolist()):
        moment, worker = free[0]
        end = moment + work / speed_of[worker]
        done_s[shard] = end
        heapq.heapreplace(free, (end, worker))
    return done_s


def makespan_s(
    way: Way,
    work_s: Seconds,
    speeds: Seconds,
    deaths_s: Iterable[float] = (),
    restart_s: float = 0.0,
) -> float:
    """From the first shard's start to the last one's end.

    When a worker dies the job starts again: what all workers have in hand is lost, and
    what is left is given out anew.

    Args:
        way: `dealt` or `taken`.
        work_s: Of the shards, in the order of the plan.
        speeds: Of the workers.
        deaths_s: Moments at which a worker dies, in order.
        restart_s: From a death until all workers are at work again; whoever dies
            meanwhile makes no difference.
    """
    start_s, left_s = 0.0, work_s
    done_s = way(left_s, speeds)
    for death_s in deaths_s:
        if death_s < start_s:
            continue
        lost = start_s + done_s > death_s
        if not lost.any():
            break
        left_s, start_s = left_s[lost], death_s + restart_s
        done_s = way(left_s, speeds)
    return start_s + float(done_s.max(initial=0.0))
