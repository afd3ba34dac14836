"""The commands ``workbench run | jobs | why | replay | compare | lineage``: runs from a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from workbench.cli.context import open_workspace

CANCEL_S = 5.0  # how long a run that is cancelled is waited for, so that what is shown is how it ended


@click.command()
@click.argument("algorithm")
@click.argument("words", nargs=-1, metavar="[INPUT]... [KEY=VALUE]...")
@click.option("-d", "--device", help="cpu, gpu, cuda, cuda:1, mps.")
@click.option("-s", "--session", help="Session to work in.")
@click.option("-x", "--executor", help="Where it runs: kernel or process.")
@click.option(
    "-b", "--background", is_flag=True, help="Return at once; the run goes on in a process of its own."
)
@click.option("--priority", type=int, default=0, help="Of runs that wait, higher ones start first.")
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    help="Seconds after which it is ended; in the kernel at its next log, progress or fetch.",
)
@click.option("--retries", type=int, default=0, help="How often a failed run is tried again.")
@click.option(
    "--reuse",
    type=click.Choice(["never", "auto", "only"]),
    help="Whether a completed run that is the same stands for this one.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File for the output (several are numbered), or a folder for .h5 files.",
)
@click.option("--debug", is_flag=True, help="Show the full traceback of the algorithm.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    algorithm: str,
    words: tuple[str, ...],
    executor: str | None,
    output: Path | None,
    debug: bool,
    background: bool,
    **options: Any,
) -> None:
    """Run an algorithm (NAME[@VERSION] or a folder) on datasets or files."""
    from workbench.commands.runs import executor_of, run_words

    workspace = open_workspace(ctx)
    where = executor_of(workspace, executor, background=background)
    options = {**options, "debug": debug, "executor": where, "wait": not background}
    done = run_words(workspace, algorithm, words, **options)
    click.echo(repr(done))
    if background:
        return
    for number, dataset in enumerate(done.datasets):
        if output is None:
            click.echo(repr(dataset))
        else:
            target = _target(output, number, len(done.datasets))
            target.parent.mkdir(parents=True, exist_ok=True)
            click.echo(f"wrote {dataset.export(target)}")
    if done.status != "COMPLETED":
        if done.record.error is not None:
            click.echo(done.record.error.traceback, err=True)
        ctx.exit(1)


def _target(output: Path, number: int, count: int) -> Path:
    """Return the file of one of several outputs: in a folder, or beside each other with their numbers."""
    if output.is_dir() or not output.suffix:
        return output / f"{number:03d}.h5"
    return output if count == 1 else output.with_name(f"{output.stem}-{number:03d}{output.suffix}")


@click.command()
@click.argument("run_id", required=False)
@click.argument(
    "action", required=False, type=click.Choice(["show", "log", "cancel", "attach", "resume"]), default="show"
)
@click.option("--status", help="Only in this state, such as FAILED.")
@click.option("--algorithm", help="Only of this algorithm.")
@click.pass_context
def jobs(
    ctx: click.Context, run_id: str | None, action: str, status: str | None, algorithm: str | None
) -> None:
    """List runs, or show, read the log of, cancel, follow one to its end, or resume one that did not complete."""
    workspace = open_workspace(ctx, looks=True)
    if run_id is None:
        click.echo(repr(workspace.runs.list(status=status, algorithm=algorithm)))
        return
    found = workspace.runs.get(run_id)
    if action == "log":
        click.echo(str(found.log), nl=False)
    elif action == "cancel":
        click.echo(repr(found.cancel().wait(CANCEL_S)))
    elif action == "resume":
        click.echo(repr(found.resume()))
    elif action == "attach":
        from workbench.commands.runs import follow

        click.echo(repr(follow(found, lambda text: click.echo(text, nl=False))))
    else:
        click.echo(repr(found))


@click.command()
@click.argument("run_id")
@click.pass_context
def why(ctx: click.Context, run_id: str) -> None:
    """Tell why a run (its id, or last) was computed or reused, and what differs from the nearest one."""
    from workbench.commands.runs import why as explain

    click.echo(repr(explain(open_workspace(ctx, looks=True), run_id)))


@click.command()
@click.argument("run_id")
@click.option("--rtol", type=float, default=0.0, help="Relative tolerance for numbers.")
@click.option("--atol", type=float, default=0.0, help="Absolute tolerance for numbers.")
@click.option("-x", "--executor", help="Where it runs: kernel or process; default: as the first time.")
@click.option("-s", "--session", help="For a run that worked in a session: where to work now.")
@click.option(
    "--from-source", is_flag=True, help="First make its code anew from a fresh clone and the kept changes."
)
@click.option(
    "--pipeline", help="file.py:name with functions that the record of a pipeline does not lead to."
)
@click.pass_context
def replay(ctx: click.Context, /, run_id: str, **options: Any) -> None:
    """Compute a run (its id, or last) again and compare its outputs, of a pipeline all its nodes; exit with 1 if they differ."""
    from workbench.commands.runs import replay as again

    sys.path.append(str(Path.cwd()))  # functions of a pipeline are imported from where this is said
    done = again(open_workspace(ctx, looks=True), run_id, **options)
    click.echo(repr(done))
    if not done.is_same:
        ctx.exit(1)


@click.command()
@click.argument("a")
@click.argument("b", required=False)
@click.pass_context
def compare(ctx: click.Context, a: str, b: str | None) -> None:
    """Show what differs between two runs (ids, or last: the default), or two versions (default: the one before)."""
    from workbench.commands.runs import compare as side_by_side

    click.echo(repr(side_by_side(open_workspace(ctx, looks=True), a, b)))


@click.command()
@click.argument("ref", metavar="RUN|DATASET")
@click.option("-n", "--generations", type=int, default=10, help="How many runs deep.")
@click.option("--direction", type=click.Choice(["both", "up", "down"]), default="both")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A .json file (W3C PROV), .svg file, .zip or folder (RO-Crate).",
)
@click.pass_context
def lineage(ctx: click.Context, /, ref: str, generations: int, direction: str, output: Path | None) -> None:
    """Show what a run or dataset was made from, and what was made from it."""
    from workbench.commands.runs import lineage as walk

    found = walk(open_workspace(ctx, looks=True), ref, generations, direction)
    click.echo(f"wrote {found.export(output)}" if output else repr(found))
