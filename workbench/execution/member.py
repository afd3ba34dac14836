"""The place of a run in a sweep: what the executor and the run host need to know of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A run as one of many.

    Parameters
    ----------
    sweep : str
        The sweep's id. Its file names the run already, so the run needs no record of its own before it starts.
    point : int
        Which of the sweep's points it computes.
    run : str
        The id that the sweep has reserved for it.
    jobs : int
        How many runs of the sweep may go on at once.
    fail_fast : bool
        Whether a run of the sweep that fails ends the others.
    """

    sweep: str
    point: int
    run: str
    jobs: int
    fail_fast: bool = False
