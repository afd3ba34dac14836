"""How long a run still takes, and whether it has been silent for too long: learned from earlier runs of the same version."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.models import RunRecord

LEARNED_FROM = 20  # of the newest runs of a version
SILENT_TIMES = 5.0  # of the longest silence of earlier runs
LEAST_SILENCE_S = 10.0
UNKNOWN_SILENCE_S = 120.0  # where no earlier run says what is usual
LEAST_ELAPSED_S = 1.0
LEAST_FRACTION = 0.01  # before, progress says nothing about the rest


@dataclass(frozen=True, slots=True)
class Pace:
    """What earlier runs of a version took.

    Parameters
    ----------
    seconds_per_input : float or None
        Median of the completed ones; a run without inputs counts as one with one.
    usual_silence_s : float or None
        The longest time without log line or progress in any of them.
    """

    seconds_per_input: float | None = None
    usual_silence_s: float | None = None

    @classmethod
    def of(cls, earlier: Sequence[RunRecord]) -> Pace:
        """Learn from completed runs; one that took the outputs of another says nothing."""
        known = [r for r in earlier if r.seconds is not None and r.reused_from is None]
        if not known:
            return cls()
        return cls(
            statistics.median((r.seconds or 0.0) / max(1, len(r.inputs)) for r in known),
            max(r.longest_silence_s for r in known),
        )

    def eta_s(self, elapsed_s: float, fraction: float, inputs: int = 1) -> float | None:
        """Return the seconds that are probably left, or None where nothing is known.

        The further a run is, the more its own progress counts and the less what earlier ones took.
        """
        by_progress = elapsed_s * (1.0 - fraction) / fraction if fraction >= LEAST_FRACTION else None
        if self.seconds_per_input is None:
            return by_progress if elapsed_s >= LEAST_ELAPSED_S else None
        by_history = self.seconds_per_input * max(1, inputs) - elapsed_s
        if by_progress is None:
            return by_history if by_history > 0.0 else None
        if by_history <= 0.0:
            return by_progress
        return fraction * by_progress + (1.0 - fraction) * by_history

    def is_silent(self, silence_s: float) -> bool:
        """Tell whether a run has given no sign of life for a multiple of what is usual."""
        if self.usual_silence_s is None:
            return silence_s > UNKNOWN_SILENCE_S
        return silence_s > max(LEAST_SILENCE_S, SILENT_TIMES * self.usual_silence_s)


class Growth:
    """How long a fraction still takes until it is whole, from how it has grown since it was first seen.

    Parameters
    ----------
    clock : callable
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, float] | None = None

    def eta_s(self, fraction: float) -> float | None:
        """Return the seconds that are probably left, or None as long as that cannot be told."""
        moment = self._clock()
        if self._first is None:
            self._first = moment, fraction
        begin, least = self._first
        grown, elapsed_s = fraction - least, moment - begin
        if grown < LEAST_FRACTION or elapsed_s < LEAST_ELAPSED_S or fraction >= 1.0:
            return None
        return elapsed_s * (1.0 - fraction) / grown


def duration(seconds: float) -> str:
    """Return a time to come in words: ``8 s``, ``3 min``, ``2 h 10 min``.

    >>> duration(8.2), duration(170.0), duration(7800.0)
    ('8 s', '3 min', '2 h 10 min')
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
