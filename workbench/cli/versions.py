"""The commands ``workbench versions`` and ``workbench links``: versions of code from a terminal."""

from __future__ import annotations

import click

from workbench.cli.context import OPEN


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

    click.echo(repr(versions_words(ctx.meta[OPEN](ctx, looks=True), name, before, after)))


@click.command()
@click.argument("downstream", required=False)
@click.argument("upstream", required=False)
@click.pass_context
def links(ctx: click.Context, downstream: str | None, upstream: str | None) -> None:
    """List which versions of steps worked together."""
    from workbench.commands.versions import links_words

    click.echo(repr(links_words(ctx.meta[OPEN](ctx, looks=True), downstream, upstream)))
