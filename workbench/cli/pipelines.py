"""The command ``workbench pipeline``: pipelines of a Python file from a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from workbench.cli.context import OPEN

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent


@click.group("pipeline")
def pipeline() -> None:
    """Pipelines: graphs of algorithms and functions that run as one."""


@pipeline.command("ls")
@click.pass_context
def pipeline_ls(ctx: click.Context) -> None:
    """List the pipelines that were saved or run here, with their last run."""
    from workbench.commands.pipelines import pipeline_rows

    click.echo(repr(pipeline_rows(ctx.meta[OPEN](ctx, looks=True))))


@pipeline.command("show")
@click.argument("what", metavar="FILE.py[:NAME]|MODULE:NAME|RUN")
@click.pass_context
def pipeline_show(ctx: click.Context, what: str) -> None:
    """Show the nodes of a pipeline, or how those of a run stand (its id, or last)."""
    from workbench.commands.pipelines import described, find_pipeline
    from workbench.commands.pipelines import pipeline_run as run_of
    from workbench.names import LAST, is_id

    if is_id(what) or what == LAST:
        run = run_of(ctx.meta[OPEN](ctx, looks=True), what)
        click.echo(f"{run!r}\n{run.nodes!r}")
    else:
        click.echo(described(find_pipeline(what)))


@pipeline.command("run")
@click.argument("what", metavar="FILE.py[:NAME]|MODULE:NAME")
@click.argument("words", nargs=-1, metavar="[INPUT]... [NODE.PARAMETER=VALUE]...")
@click.option("-x", "--executor", help="Where nodes run: kernel (here, one after the other) or process.")
@click.option(
    "--reuse",
    type=click.Choice(["auto", "never", "only"]),
    default="auto",
    help="auto (default) computes only what is stale.",
)
@click.option("--timeout", "timeout_s", type=float, metavar="S", help="Seconds after which it is ended.")
@click.option("--tag", "tags", multiple=True, help="A label for its runs; repeat for more.")
@click.pass_context
def pipeline_run(ctx: click.Context, /, what: str, words: tuple[str, ...], **options: Any) -> None:
    """Run a pipeline of a Python file or module on dataset ids, names or files; exit with 1 if it does not complete."""
    import sys

    from workbench.commands.pipelines import find_pipeline, run_pipeline_words

    found = find_pipeline(what)
    workspace = ctx.meta[OPEN](ctx)

    def show(event: RunEvent) -> None:
        click.echo(f"\r{event.fraction:4.0%}  {event.message:<50}", nl=event.status.is_final, err=True)

    on_event = show if sys.stderr.isatty() else None
    run = run_pipeline_words(workspace, found, words, on_event=on_event, **options)
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
