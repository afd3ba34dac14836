"""The command ``workbench entries``: files of domains from a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.context import open_workspace

if TYPE_CHECKING:
    from workbench.library.entries import Entries


@click.group("entries")
@click.option("--app", metavar="NAME", help="Those of another application.")
@click.pass_context
def entries(ctx: click.Context, app: str | None) -> None:
    """Files of domains, with versions and metadata."""
    from workbench.commands.entries import entries_of

    def opened(**how: Any) -> Entries:
        return entries_of(open_workspace(ctx, **how), app)

    ctx.obj = opened


@entries.command("ls")
@click.argument("words", nargs=-1, metavar="[DOMAIN] [KEY=VALUE]...")
@click.option("--kind", help="Only data, candidates or models.")
@click.option("--version", help="Only 3, or 1,2, or latest.")
@click.option("--where", metavar="CONDITION", help='Such as "val_error < 0.1 and size > 1000".')
@click.option(
    "--order",
    default="-created",
    help="created, version, size, name or a key; with - in front for descending.",
)
@click.option("--trash", is_flag=True, help="Those in the trash instead.")
@click.option("-n", "--limit", type=int, help="How many; default: the setting page_size.")
@click.pass_obj
def entries_ls(open_entries: Callable[..., Entries], /, words: tuple[str, ...], **options: Any) -> None:
    """List entries, or search for some."""
    from workbench.commands.entries import entries_words

    click.echo(repr(entries_words(open_entries(looks=True), words, **options)))


@entries.command("add")
@click.argument("domain")
@click.argument("words", nargs=-1, required=True, metavar="FILE... [KEY=VALUE]...")
@click.option("--kind", default="data", help="data (default), candidates or models.")
@click.option("--version", type=int, help="Default: the next one.")
@click.option("--extend", is_flag=True, help="Add to a version that is there.")
@click.option("--reference", is_flag=True, help="Only note where the files lie.")
@click.option("--no-check", is_flag=True, help="Take files that are not what their kind says.")
@click.option("--made-by", metavar="REF", help="What made them: STEP@1.2.0, or the id of a run.")
@click.option("--dry-run", is_flag=True, help="Say which version it would be; add nothing.")
@click.pass_obj
def entries_add(
    open_entries: Callable[..., Entries],
    /,
    domain: str,
    words: tuple[str, ...],
    no_check: bool,
    **options: Any,
) -> None:
    """Add files to a domain, all under one version."""
    from workbench.commands.entries import add_words

    _say(add_words(open_entries(), domain, words, check=not no_check, **options))


@entries.command("move")
@click.argument("refs", nargs=-1, required=True)
@click.option("--kind", help="The kind they become.")
@click.option("--domain", help="The domain they go to.")
@click.option("--version", type=int, help="Another version instead of their own.")
@click.option("--folder", help="Where files by reference go.")
@click.option("--extend", is_flag=True, help="Join a version that is there.")
@click.option("--no-check", is_flag=True, help="Take files that are not what the kind says.")
@click.option("--back", is_flag=True, help="To where they were before their last move.")
@click.option("--dry-run", is_flag=True, help="Show what they would become; change nothing.")
@click.pass_obj
def entries_move(open_entries: Callable[..., Entries], /, refs: tuple[str, ...], **options: Any) -> None:
    """Promote entries (id, DOMAIN/KIND@VERSION[/NAME]) to another kind or domain; version and metadata stay."""
    from workbench.commands.entries import move_words

    _say(move_words(open_entries(looks=True), refs, **options))


@entries.command("rm")
@click.argument("words", nargs=-1, metavar="[REF]... [KEY=VALUE]...")
@click.option("--domain", help="All of a domain.")
@click.option("--kind", help="All of a kind.")
@click.option("--version", help="All of version 3, or 1,2, or latest.")
@click.option("--where", metavar="CONDITION", help='All that fulfil it, such as "val_error > 0.5".')
@click.option("--restore", is_flag=True, help="Take them out of the trash again.")
@click.option("--purge", is_flag=True, help="Forget them for good.")
@click.option("--yes", is_flag=True, help="Purge without asking.")
@click.option("--force", is_flag=True, help="Purge what others were made from, too.")
@click.pass_obj
def entries_rm(
    open_entries: Callable[..., Entries],
    /,
    words: tuple[str, ...],
    restore: bool,
    purge: bool,
    yes: bool,
    force: bool,
    **which: Any,
) -> None:
    """Put entries into the trash: those that are named, or all that fulfil what is said."""
    from workbench.commands.entries import change_words, named_words

    opened = open_entries(looks=True)
    in_trash = restore or (purge and not any(which.values()))
    found = named_words(opened, words, trash=in_trash, **which)
    if not found:
        click.echo("No entry fulfils this; nothing was changed.")
        return
    if purge and not yes:
        names = ", ".join(entry.ref for entry in found[:5]) + (" and more" if len(found) > 5 else "")
        click.confirm(f"Delete {len(found)} for good: {names}?", abort=True)
    done = change_words(opened, found, restore=restore, purge=purge, force=force)
    _say([f"purged {entry.ref} ({entry.id})" for entry in done] if purge else done)


@entries.command("verify")
@click.argument("refs", nargs=-1, required=True)
@click.pass_context
def entries_verify(ctx: click.Context, /, refs: tuple[str, ...]) -> None:
    """Compare the files of entries with the digests that they had when they were added."""
    from workbench.commands.entries import verify_words

    found = verify_words(ctx.obj(looks=True), refs)
    _say([f"bad {ref}: {problem}" if problem else f"ok  {ref}" for ref, problem in found])
    if any(problem for _, problem in found):
        ctx.exit(1)


@entries.command("versions")
@click.argument("domain")
@click.option("--kind", default="data", help="data (default), candidates or models.")
@click.pass_obj
def entries_versions(open_entries: Callable[..., Entries], /, domain: str, kind: str) -> None:
    """List the versions of a domain with their files, and say which is the next."""
    from workbench.commands.entries import versions_words

    _say(versions_words(open_entries(looks=True), domain, kind))


@entries.command("lineage")
@click.argument("ref")
@click.option("--generations", type=int, default=10, help="How far; default: 10.")
@click.pass_obj
def entries_lineage(open_entries: Callable[..., Entries], /, ref: str, generations: int) -> None:
    """Show what an entry was made from, and what was made from it."""
    click.echo(repr(open_entries(looks=True).find(ref).lineage(generations)))


@entries.command("export")
@click.argument("ref")
@click.argument("path")
@click.pass_obj
def entries_export(open_entries: Callable[..., Entries], /, ref: str, path: str) -> None:
    """Copy the file of an entry to PATH, or all files of a version into that folder."""
    from workbench.commands.entries import export_words

    _say(export_words(open_entries(looks=True), ref, path))


@entries.command("name")
@click.argument("kind")
@click.argument("domain", required=False)
@click.pass_obj
def entries_name(open_entries: Callable[..., Entries], /, kind: str, domain: str | None) -> None:
    """Suggest a file name that no other file has."""
    click.echo(open_entries(looks=True).suggest_name(kind, domain))


def _say(done: Any) -> None:
    for line in [done] if isinstance(done, str) else done:
        click.echo(str(line) if isinstance(line, (str, Path)) else repr(line))
