"""What is learned from earlier runs: time to come, and unusual silence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from workbench.execution.pace import Growth, Pace
from workbench.models import RunRecord, RunStatus, now
from workbench.names import new_id


def completed(seconds: float, silence: float = 0.0, inputs: int = 1) -> RunRecord:
    begun = now()
    return RunRecord(
        id=new_id(),
        algorithm="denoise@1.0",
        algorithm_name="denoise",
        status=RunStatus.COMPLETED,
        inputs=tuple(new_id() for _ in range(inputs)),
        longest_silence_s=silence,
        created=begun,
        started=begun,
        finished=begun + timedelta(seconds=seconds),
    )


def test_nothing_is_claimed_where_nothing_is_known() -> None:
    assert Pace.of([]).eta_s(10.0, 0.0) is None
    assert Pace().eta_s(0.1, 0.5) is None  # too early to tell from progress alone


def test_progress_alone_gives_a_time() -> None:
    assert Pace().eta_s(10.0, 0.5) == 10.0


def test_a_progress_of_nearly_nothing_gives_none() -> None:
    assert Pace().eta_s(10.0, 1e-6) is None
    assert Pace.of([completed(30.0)]).eta_s(10.0, 1e-6) == 20.0


def test_earlier_runs_tell_before_the_first_progress() -> None:
    pace = Pace.of([completed(9.0), completed(10.0), completed(60.0)])
    assert pace.eta_s(4.0, 0.0) == 6.0


def test_it_grows_with_the_inputs() -> None:
    pace = Pace.of([completed(10.0, inputs=5)])
    assert pace.eta_s(0.0, 0.0, inputs=20) == 40.0


def test_progress_counts_more_the_further_it_is() -> None:
    pace = Pace.of([completed(100.0)])
    assert pace.eta_s(10.0, 0.1) == 0.1 * 90.0 + 0.9 * 90.0
    assert pace.eta_s(10.0, 0.5) == 0.5 * 10.0 + 0.5 * 90.0
    assert pace.eta_s(200.0, 0.5) == 200.0  # earlier runs say nothing any more
    assert pace.eta_s(200.0, 0.0) is None


def test_silence_is_judged_by_what_is_usual() -> None:
    chatty, quiet = Pace.of([completed(60.0, 1.0)]), Pace.of([completed(60.0, 30.0), completed(60.0, 2.0)])
    assert not chatty.is_silent(9.0)
    assert chatty.is_silent(11.0)
    assert not quiet.is_silent(140.0)
    assert quiet.is_silent(151.0)
    assert not Pace().is_silent(100.0)
    assert Pace().is_silent(121.0)


def test_nothing_is_learned_from_runs_that_computed_nothing() -> None:
    reused = completed(0.001).model_copy(update={"reused_from": new_id()})
    assert Pace.of([reused, reused, completed(10.0)]) == Pace.of([completed(10.0)])
    assert Pace.of([reused]) == Pace()


def test_what_is_left_follows_from_how_it_grows() -> None:
    moment = 0.0
    growth = Growth(lambda: moment)
    assert growth.eta_s(0.4) is None  # a sweep that goes on with what it has
    moment = 0.5
    assert growth.eta_s(0.5) is None
    moment = 10.0
    assert growth.eta_s(0.404) is None
    assert growth.eta_s(0.6) == pytest.approx(20.0)
    assert growth.eta_s(1.0) is None
