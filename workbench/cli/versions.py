"""The commands ``workbench versions | links | retrain``: versions of code from a terminal."""

from __future__ import annotations

import click

from workbench.cli.context import open_workspace


@click.command()
@click.argument("name", required=False)
@click.argument("before", required=False)
@click.argument("after", required=False)
@click.pass_context
def versions(ctx: click.Context, name: str | None, before: str | None, after: str | None) -> None:
    """List the versions of an algorithm, step or pipeline, and what changed; without NAME, all that have some.

    With BEFORE, and perhaps AFTER: what differs between two versions.
    """
    from workbench.commands.versions import versions_words

    click.echo(repr(versions_words(open_workspace(ctx, looks=True), name, before, after)))


@click.command()
@click.argument("downstream", required=False)
@click.argument("upstream", required=False)
@click.pass_context
def links(ctx: click.Context, downstream: str | None, upstream: str | None) -> None:
    """List which versions of steps worked together."""
    from workbench.commands.versions import links_words

    click.echo(repr(links_words(open_workspace(ctx, looks=True), downstream, upstream)))


@click.command()
@click.argument("what", metavar="FILE.py[:NAME]|MODULE:NAME")
@click.argument("words", nargs=-1, metavar="[INPUT]...")
@click.option("--force", is_flag=True, help="Train all of it again, whether it is stale or not.")
@click.option("-x", "--executor", help="Where nodes run: kernel (here, one after the other) or process.")
@click.pass_context
def retrain(ctx: click.Context, what: str, words: tuple[str, ...], force: bool, executor: str | None) -> None:
    """Train again what is stale in a pipeline of a Python file or module, in order, and save it."""
    from workbench.commands.pipelines import find_pipeline, read_pipeline_inputs

    pipeline, workspace = find_pipeline(what), open_workspace(ctx)
    inputs = read_pipeline_inputs(workspace, pipeline, words)
    click.echo(repr(workspace.pipelines.retrain(pipeline, *inputs, force=force, executor=executor)))
