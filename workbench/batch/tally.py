"""What is known of the points of a sweep: a few facts each, and their sums, kept as events come in."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from workbench.models import RunRecord, RunStatus


@dataclass(frozen=True, slots=True)
class PointState:
    """How one point stands.

    ``status`` is None where no run is known: it was never started, or is not any more.
    """

    status: RunStatus | None = None
    fraction: float = 0.0
    seconds: float | None = None
    computed: bool = False  # by its own run, not taken from an earlier one
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Tell whether it has its result."""
        return self.status is RunStatus.COMPLETED


UNKNOWN = PointState()


def state_of(record: RunRecord) -> PointState:
    """Return the facts of a run's record."""
    error = record.error
    first = error.message.splitlines()[0] if error is not None and error.message else ""
    return PointState(
        status=record.status,
        fraction=1.0 if record.status.is_final else record.progress.fraction,
        seconds=record.seconds,
        computed=record.reused_from is None,
        error=f"{error.type}: {first}" if error is not None else "",
    )


class Tally:
    """The states of all points, safe to be told from any thread.

    Parameters
    ----------
    size : int
        Number of points.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._states = [UNKNOWN] * size
        self._counts: Counter[RunStatus | None] = Counter({None: size})
        self._fraction = 0.0  # of all points together
        self._seconds = 0.0  # of those that were computed
        self._computed = 0

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, point: int) -> PointState:
        return self._states[point]

    def set(self, point: int, state: PointState) -> None:
        """Note how a point stands now."""
        with self._lock:
            before = self._states[point]
            self._states[point] = state
            self._counts[before.status] -= 1
            self._counts[state.status] += 1
            self._fraction += state.fraction - before.fraction
            for each, sign in ((before, -1), (state, 1)):
                if each.is_done and each.computed and each.seconds is not None:
                    self._seconds += sign * each.seconds
                    self._computed += sign

    def move(self, point: int, status: RunStatus, fraction: float) -> None:
        """Note that a run that goes on has come so far."""
        self.set(point, replace(self._states[point], status=status, fraction=fraction))

    def count(self, *statuses: RunStatus | None) -> int:
        """Return how many points are in one of these states."""
        return sum(self._counts[status] for status in statuses)

    @property
    def counts(self) -> Mapping[RunStatus | None, int]:
        """How many points are in each state; None counts those without a run."""
        return {status: number for status, number in self._counts.items() if number}

    @property
    def ended(self) -> int:
        """How many points have come to an end, whichever."""
        return sum(
            number for status, number in self._counts.items() if status is not None and status.is_final
        )

    @property
    def progress(self) -> float:
        """How far all of it is, 0 to 1."""
        return min(1.0, max(0.0, self._fraction / len(self._states))) if self._states else 1.0

    def seconds_left(self, active: Iterable[int], lanes: int) -> float | None:
        """Return how long the points that are to be done still take, so many at a time; None where nothing is known."""
        work = sum(1.0 - self._states[point].fraction for point in active)
        if not work:
            return 0.0
        if not self._computed:
            return None
        return self._seconds / self._computed * work / max(1, lanes)
