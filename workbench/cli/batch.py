"""The command ``workbench batch``: a sweep from a terminal, what it says meanwhile, and its schedules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.batch.places import check_writable
from workbench.errors import InvalidInputError

if TYPE_CHECKING:
    from workbench.batch.sweep import Sweep, SweepEvent
    from workbench.workspace import Workspace

#: options that a scheduled line repeats
_REPEATED = (
    "jobs", "zip", "table", "sample", "seed", "fail_fast", "timeout", "retries", "reuse", "executor", "device", "name",
    "priority", "output", "report", "each_input",
)  # fmt: skip


def batch(open_workspace: Callable[[], Workspace], leave: Callable[[int], None], **given: Any) -> None:
    """Do what the options say.

    Parameters
    ----------
    open_workspace : callable
        Opens the workspace when it is needed: schedules need none.
    leave : callable
        Ends the command with an exit code.
    **given
        The options of the command.
    """
    if given["list_"] or given["remove"]:
        from workbench.batch.schedule import remove, schedules

        click.echo(f"removed {remove(given['remove'])!r}" if given["remove"] else repr(schedules()))
        return
    if given["background"] and given["report"]:
        raise InvalidInputError(
            "--report is written when the sweep has ended, and -b does not wait for that. "
            "Leave one out, or write it later: workbench batch --attach ID --report."
        )
    for place in filter(None, (given["output"], given["report"])):
        check_writable(place)  # not only when all is done
    workspace = open_workspace()
    if given["cancel"]:
        click.echo(repr(workspace.sweeps.get(given["cancel"]).cancel().wait(10.0)))
    elif given["every"] or given["cron"]:
        click.echo(_schedule(workspace, given))
    elif given["attach"]:
        sweep = workspace.sweeps.get(given["attach"]).wait(listener=_progress(given))
        _finish(sweep, given, leave)
    elif given["resume"]:
        if given["what"]:
            raise InvalidInputError(
                f"--resume goes on with what sweep {given['resume']} has, and {given['what']!r} is more. Leave it out."
            )
        sweep = workspace.sweeps.get(given["resume"])
        sweep.resume(jobs=given["jobs"], wait=not given["background"], on_event=_progress(given))
        _finish(sweep, given, leave)
    elif given["what"] is None:
        click.echo(repr(workspace.sweeps.list()))
    else:
        _finish(_run(workspace, given), given, leave)


def _run(workspace: Workspace, given: dict[str, Any]) -> Sweep:
    from workbench.commands.batch import batch_words

    return batch_words(
        workspace,
        given["what"],
        given["words"],
        zip=given["zip"],
        table=given["table"],
        samples=given["sample"],
        seed=given["seed"],
        jobs=2 if given["jobs"] is None else given["jobs"],
        fail_fast=given["fail_fast"],
        timeout_s=given["timeout"],
        wait=not given["background"],
        on_event=_progress(given),
        **{
            key: given[key]
            for key in ("each_input", "retries", "reuse", "executor", "device", "name", "priority")
        },
    )


def _finish(sweep: Sweep, given: dict[str, Any], leave: Callable[[int], None]) -> None:
    click.echo(repr(sweep))
    output: Path | None = given["output"]
    if given["background"]:
        return
    if output is not None:
        write = sweep.to_parquet if output.suffix == ".parquet" else sweep.to_csv
        click.echo(f"wrote {write(output)}")
    if given["report"]:
        from workbench.commands.batch import write_sweep_report

        click.echo(write_sweep_report(sweep, given["report"]))
    if sweep.status != "COMPLETED":
        leave(1)


def _progress(given: dict[str, Any]) -> Callable[[SweepEvent], None] | None:
    """Return what draws a line that is rewritten in a terminal; nothing where the output is a file."""
    import sys

    if given["background"] or not sys.stderr.isatty():
        return None
    from workbench.execution.pace import Growth, duration
    from workbench.execution.progress import Throttle

    throttle, growth = Throttle(0.1), Growth()

    def show(event: SweepEvent) -> None:
        left_s = growth.eta_s(event.progress)
        if throttle.ready() or event.kind == "end":
            failed = f", {event.failed} failed" if event.failed else ""
            text = f"{event.progress:4.0%}  {event.completed} of {event.total} completed{failed}"
            text += "" if left_s is None else f", about {duration(left_s)} left"
            click.echo(f"\r{text:<60}", nl=event.kind == "end", err=True)

    return show


def _schedule(workspace: Workspace, given: dict[str, Any]) -> str:
    from workbench.batch.schedule import every, log_of
    from workbench.commands.batch import schedule_words

    if given["every"] and given["cron"]:
        raise InvalidInputError("--every and --cron are two ways to say when. Keep one.")
    if given["what"] is None:
        raise InvalidInputError("What is to be run then? Name an algorithm or a notebook.")
    when = every(given["every"]) if given["every"] else given["cron"]
    options = {name.replace("_", "-"): given[name] for name in _REPEATED if given[name]}
    schedule = schedule_words(workspace, given["what"], given["words"], when=when, options=options)
    return f"{schedule!r}\nwhat it says goes to {log_of(schedule.id)}"
