"""The command ``workbench pipeline``: pipelines of a Python file from a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from workbench.cli.context import in_terminal, open_workspace
from workbench.errors import NotFoundError

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent


@click.group("pipeline")
def pipeline() -> None:
    """Pipelines: graphs of algorithms and functions that run as one."""


@pipeline.command("list")
@click.pass_context
def pipeline_list(ctx: click.Context) -> None:
    """List the pipelines that were saved or run here, with their last run."""
    from workbench.commands.pipelines import pipeline_rows

    click.echo(in_terminal(repr(pipeline_rows(open_workspace(ctx, looks=True)))))


# as the other commands for lists are called, too
pipeline.add_command(pipeline_list, "ls")


@pipeline.command("show")
@click.argument("what", metavar="FILE.py[:NAME]|MODULE:NAME|NAME|RUN")
@click.pass_context
def pipeline_show(ctx: click.Context, what: str) -> None:
    """Show the nodes of a pipeline, or how those of a run stand: its id, last, or the name of a pipeline that was run."""
    from workbench.commands.pipelines import described, shown_pipeline
    from workbench.pipelines import Pipeline

    found = shown_pipeline(lambda: open_workspace(ctx, looks=True), what)
    click.echo(described(found) if isinstance(found, Pipeline) else f"{found!r}\n{found.nodes!r}")


@pipeline.command("runs")
@click.argument("name", required=False)
@click.pass_context
def pipeline_runs(ctx: click.Context, name: str | None) -> None:
    """List the runs of pipelines, or those of one."""
    from workbench.commands.pipelines import run_rows

    click.echo(in_terminal(repr(run_rows(open_workspace(ctx, looks=True), name))))


@pipeline.command("attach")
@click.argument("run_id", metavar="RUN")
@click.pass_context
def pipeline_attach(ctx: click.Context, run_id: str) -> None:
    """Follow a run (its id, or last) to its end, with its log from the beginning."""
    from workbench.commands.pipelines import pipeline_run as run_of
    from workbench.commands.runs import follow

    run = follow(run_of(open_workspace(ctx, looks=True), run_id), lambda text: click.echo(text, nl=False))
    click.echo(f"{run!r}\n{run.nodes!r}")


@pipeline.command("cancel")
@click.argument("run_id", metavar="RUN")
@click.pass_context
def pipeline_cancel(ctx: click.Context, run_id: str) -> None:
    """End a run (its id, or last), with its nodes."""
    from workbench.commands.pipelines import pipeline_run as run_of

    click.echo(repr(run_of(open_workspace(ctx, looks=True), run_id).cancel()))


@pipeline.command("run")
@click.argument("what", metavar="FILE.py[:NAME]|MODULE:NAME")
@click.argument("words", nargs=-1, metavar="[INPUT]... [NODE.PARAMETER=VALUE]...")
@click.option("-x", "--executor", help="Where nodes run: kernel (here, one after the other) or process.")
@click.option("-b", "--background", is_flag=True, help="Return at once; it goes on in processes of its own.")
@click.option(
    "--reuse",
    type=click.Choice(["auto", "never", "only"]),
    default="auto",
    help="auto (default) computes only what is stale.",
)
@click.option("--timeout", "timeout_s", type=float, metavar="S", help="Seconds after which it is ended.")
@click.option("--tag", "tags", multiple=True, help="A label for its runs; repeat for more.")
@click.pass_context
def pipeline_run(
    ctx: click.Context,
    /,
    what: str,
    words: tuple[str, ...],
    executor: str | None,
    background: bool,
    **options: Any,
) -> None:
    """Run a pipeline of a Python file or module on dataset ids, names or files; exit with 1 if it does not complete."""
    import sys

    from workbench.commands.pipelines import find_pipeline, run_pipeline_words
    from workbench.commands.runs import executor_of
    from workbench.pipelines import Pipeline

    try:
        found: Pipeline = find_pipeline(what)
        workspace = open_workspace(ctx)
    except NotFoundError:
        workspace = open_workspace(ctx, looks=True)
        found = find_pipeline(what, None, workspace)

    def show(event: RunEvent) -> None:
        click.echo(f"\r{event.fraction:4.0%}  {event.message:<50}", nl=event.status.is_final, err=True)

    on_event = show if sys.stderr.isatty() and not background else None
    place = executor_of(workspace, executor, background=background)
    run = run_pipeline_words(
        workspace, found, words, executor=place, wait=not background, on_event=on_event, **options
    )
    if background and run.record.executor != "kernel":
        click.echo(f"{run!r}\nFollow it: workbench pipeline attach {run.id}")
        return
    run.wait()  # where it was to go on, but is conducted by this process and would end with it
    click.echo(f"{run!r}\n{run.nodes!r}")
    if run.status != "COMPLETED":
        ctx.exit(1)
    for name, value in _results(run.result(), found.outputs).items():
        shape = getattr(value, "shape", None)
        click.echo(f"{name}: {f'{shape} {value.dtype}' if shape is not None else repr(value)}")


def _results(result: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if len(names) == 1:
        return {names[0].strip("_").removeprefix("pipeline_"): result}
    return result if isinstance(result, dict) else {}
