"""The commands ``workbench deploy | ls | describe | checkout``: algorithms from a terminal."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli.context import open_workspace


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would be stored; store nothing.")
@click.option("--no-check", is_flag=True, help="Skip the import in a clean process.")
@click.pass_context
def deploy(ctx: click.Context, path: Path, dry_run: bool, no_check: bool) -> None:
    """Deploy the algorithm in a folder."""
    deployed = open_workspace(ctx).algorithms.deploy(path, dry_run=dry_run, check=not no_check)
    click.echo(repr(deployed))
    if deployed.note and not dry_run:
        click.echo(deployed.note)


@click.command("ls")
@click.argument("name", required=False)
@click.option("--tag", "tags", multiple=True, help="Only with this tag; all of them when repeated.")
@click.option("--without-tag", "without_tags", multiple=True, help="Only without this tag.")
@click.option("--type", "type_", help="Only of this type, such as Image2Image.")
@click.option("--device", help="Only for this device: cpu, gpu, mps.")
@click.option("--as-of", metavar="DATE", help="As it was then: 2026-03-01, or 2026-03-01T14:30.")
@click.pass_context
def list_algorithms(
    ctx: click.Context,
    name: str | None,
    tags: tuple[str, ...],
    without_tags: tuple[str, ...],
    type_: str | None,
    device: str | None,
    as_of: str | None,
) -> None:
    """List the deployed algorithms."""
    page = open_workspace(ctx, looks=True).algorithms.list(
        name=name, tags=tags, without_tags=without_tags, type=type_, device=device, as_of=as_of
    )
    click.echo(repr(page))


@click.command()
@click.argument("algorithm")
@click.pass_context
def describe(ctx: click.Context, algorithm: str) -> None:
    """Show an algorithm with its parameters."""
    click.echo(str(open_workspace(ctx, looks=True).algorithms.describe(algorithm)))


@click.command()
@click.argument("algorithm")
@click.argument("folder")
@click.option("--source", help="What to clone; default: where it was deployed from, else its origin.")
@click.pass_context
def checkout(ctx: click.Context, algorithm: str, folder: str, source: str | None) -> None:
    """Clone the repository of a deployed algorithm, at its commit, with what was not committed then."""
    click.echo(f"made {open_workspace(ctx, looks=True).algorithms.checkout(algorithm, folder, source)}")
