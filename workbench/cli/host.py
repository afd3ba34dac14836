"""The command ``workbench host``: the process that has the background runs, from a terminal."""

from __future__ import annotations

import click

from workbench.cli.context import open_workspace


@click.group()
def host() -> None:
    """Look at, or end, the process that has the background runs of a workspace."""


@host.command("status")
@click.pass_context
def host_status(ctx: click.Context) -> None:
    """Show what the run host is doing."""
    from workbench.commands import host as run_host

    click.echo(run_host.host_text(run_host.host_status(open_workspace(ctx, looks=True))))


@host.command("stop")
@click.option("--force", is_flag=True, help="End it with its runs, which are cancelled.")
@click.pass_context
def host_stop(ctx: click.Context, force: bool) -> None:
    """End the run host."""
    from workbench.commands import host as run_host

    click.echo(run_host.stop_host(open_workspace(ctx, looks=True), force=force))
