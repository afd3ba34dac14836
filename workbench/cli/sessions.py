"""The command ``workbench session``: what stays warm, from a terminal."""

from __future__ import annotations

import click

from workbench.cli.context import open_workspace


@click.command()
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Remove its items.")
@click.option("--drop", is_flag=True, help="Remove it with its items.")
@click.pass_context
def session(ctx: click.Context, name: str | None, clear: bool, drop: bool) -> None:
    """List sessions, or the items of one; or empty or drop it."""
    from workbench.commands.sessions import session_words

    click.echo(repr(session_words(open_workspace(ctx), name, clear=clear, drop=drop)))
