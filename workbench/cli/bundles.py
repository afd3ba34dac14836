"""The command ``workbench bundle``: folders kept in step by checksum, from a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from workbench.cli.context import open_workspace

Command = Callable[..., Any]


@click.group("bundle")
def bundle() -> None:
    """Folders kept in step by checksum: each push is a version."""


def _which(command: Command) -> Command:
    """Add what push, pull and diff have in common."""
    for option in (
        click.option("--rehash", is_flag=True, help="Read every file, also those that look as they did."),
        click.option("--exclude", multiple=True, metavar="PATTERN", help="Without these, as in .gitignore."),
        click.option("--include", multiple=True, metavar="PATTERN", help="Only these, as in .gitignore."),
        click.option("--what", default="all", help="all (default), data or model."),
    ):
        command = option(command)
    return command


def _moving(command: Command) -> Command:
    """Add what push and pull have in common."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would move; move nothing."),
        click.option("--delete", is_flag=True, help="Also remove what was removed on the other side."),
        click.option("--prefer", help="Where both sides changed a file: mine or theirs."),
    ):
        command = option(command)
    return command


@bundle.command("push")
@click.argument("name")
@click.argument("folder")
@_which
@_moving
@click.option("-m", "--message", default="", help="What this version is.")
@click.pass_context
def bundle_push(ctx: click.Context, /, **given: Any) -> None:
    """Send what is new or changed in FOLDER: a new version of the bundle NAME."""
    _do(ctx, "push", looks=False, **given)


@bundle.command("pull")
@click.argument("name", metavar="NAME[@VERSION]")
@click.argument("folder")
@_which
@_moving
@click.pass_context
def bundle_pull(ctx: click.Context, /, **given: Any) -> None:
    """Fetch what is new or changed in a bundle into FOLDER."""
    _do(ctx, "pull", **given)


@bundle.command("diff")
@click.argument("name", metavar="NAME[@VERSION]")
@click.argument("folder")
@_which
@click.pass_context
def bundle_diff(ctx: click.Context, /, **given: Any) -> None:
    """Show what differs between FOLDER and a bundle, and which side changed it."""
    _do(ctx, "diff", **given)


@bundle.command("ls")
@click.argument("name", required=False, metavar="[NAME[@VERSION]]")
@click.option("--what", default="all", help="all (default), data or model: the files of a part.")
@click.pass_context
def bundle_ls(ctx: click.Context, name: str | None, what: str) -> None:
    """List bundles, the versions of one, or the files of a version."""
    _do(ctx, "ls", name=name, what=what)


@bundle.command("verify")
@click.argument("name", metavar="NAME[@VERSION]")
@click.pass_context
def bundle_verify(ctx: click.Context, name: str) -> None:
    """Read all contents of a version and compare them with their digests."""
    _do(ctx, "verify", name=name)


@bundle.command("restore")
@click.argument("name", metavar="NAME@VERSION")
@click.option("-m", "--message", default="", help="What this version is.")
@click.pass_context
def bundle_restore(ctx: click.Context, name: str, message: str) -> None:
    """Make a new version with the files of an older one."""
    _do(ctx, "restore", name=name, message=message)


@bundle.command("rm")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--force", is_flag=True, help="Also what something else was made from.")
@click.pass_context
def bundle_rm(ctx: click.Context, name: str, yes: bool, force: bool) -> None:
    """Delete a bundle with all its versions, or one version."""
    if not yes:
        click.confirm(f"Delete bundle {name} for good?", abort=True)
    _do(ctx, "rm", name=name, force=force)


def _do(ctx: click.Context, action: str, looks: bool = True, **given: Any) -> None:
    from workbench.commands.bundles import bundle_words

    done = bundle_words(open_workspace(ctx, looks=looks).bundles, action, **given)
    click.echo(done if isinstance(done, str) else repr(done))
