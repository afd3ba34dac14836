"""The command ``workbench batch``: a sweep from a terminal, what it says meanwhile, and its schedules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.context import open_workspace
from workbench.errors import InvalidInputError

if TYPE_CHECKING:
    from workbench.batch.sweep import Sweep, SweepEvent
    from workbench.workspace import Workspace

#: options that a scheduled line repeats
_REPEATED = (
    "jobs", "zip", "table", "sample", "seed", "fail_fast", "timeout", "retries", "reuse", "executor", "device", "name",
    "priority", "output", "report", "each_input",
)  # fmt: skip


@click.command()
@click.argument("what", required=False)
@click.argument("words", nargs=-1, metavar="[INPUT]... [KEY=V1,V2]...")
@click.option("-j", "--jobs", type=int, help="How many at once; default: 2.")
@click.option("--each-input", is_flag=True, help="All points for each input, instead of all inputs together.")
@click.option("--zip", is_flag=True, help="Lists side by side instead of each with each.")
@click.option("--table", metavar="FILE", help="A CSV file: a point for each row.")
@click.option(
    "--sample", type=int, metavar="N", help="Draw N points: sigma=0.5:4, sigma=log:0.01:1, mode=a,b."
)
@click.option("--seed", type=int, default=0, help="Equal seeds draw equal points.")
@click.option("--fail-fast", is_flag=True, help="End all with the first run that fails.")
@click.option("--timeout", type=float, metavar="S", help="Seconds after which a run is ended.")
@click.option("--retries", type=int, default=0, help="How often a failed run is tried again.")
@click.option(
    "--reuse",
    type=click.Choice(["never", "auto", "only"]),
    help="Whether a completed run that is the same stands for a point; default: auto.",
)
@click.option("-x", "--executor", help="Where runs happen: process (default) or kernel.")
@click.option("-d", "--device", help="cpu, gpu, cuda, cuda:1, mps.")
@click.option("--name", help="To find the sweep by.")
@click.option("--priority", type=int, default=0, help="Of runs that wait, higher ones start first.")
@click.option("-b", "--background", is_flag=True, help="Return at once; the sweep goes on.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV or Parquet file for the table.")
@click.option(
    "--report",
    is_flag=False,
    flag_value="report-{id}",
    metavar="[FOLDER]",
    help="Write its pages when it has ended; default: report-ID, here. Give it last.",
)
@click.option("--resume", metavar="ID", help="Do what a sweep has no result for.")
@click.option(
    "--attach", metavar="ID", help="Follow a sweep that goes on elsewhere, or show one that has ended."
)
@click.option("--cancel", metavar="ID", help="End a sweep; what is done stays.")
@click.option("--every", metavar="TIME", help="Run it again every 15m, 1h, 1d: by cron.")
@click.option("--cron", metavar="FIELDS", help='Run it at these times: "0 2 * * *".')
@click.option("--list", "list_", is_flag=True, help="List what is scheduled.")
@click.option("--remove", metavar="ID", help="Take a schedule away.")
@click.pass_context
def batch(ctx: click.Context, /, **given: Any) -> None:
    """Run an algorithm (NAME[@VERSION] or a folder) or a notebook over many points; nothing lists the sweeps."""
    from workbench.batch.places import check_writable

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
    workspace = open_workspace(ctx)
    if given["cancel"]:
        click.echo(repr(workspace.sweeps.get(given["cancel"]).cancel().wait(10.0)))
    elif given["every"] or given["cron"]:
        click.echo(_schedule(workspace, given))
    elif given["attach"]:
        sweep = workspace.sweeps.get(given["attach"]).wait(listener=_progress(given))
        _finish(sweep, given, ctx.exit)
    elif given["resume"]:
        if given["what"]:
            raise InvalidInputError(
                f"--resume goes on with what sweep {given['resume']} has, and {given['what']!r} is more. Leave it out."
            )
        sweep = workspace.sweeps.get(given["resume"])
        sweep.resume(jobs=given["jobs"], wait=not given["background"], on_event=_progress(given))
        _finish(sweep, given, ctx.exit)
    elif given["what"] is None:
        click.echo(repr(workspace.sweeps.list()))
    else:
        _finish(_run(workspace, given), given, ctx.exit)


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
