"""The commands ``workbench data | import | export``: datasets, and files that become some, from a terminal."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli.context import open_workspace
from workbench.errors import InvalidInputError


@click.command()
@click.argument("name", required=False)
@click.option("--tag", help="Only with this tag.")
@click.pass_context
def data(ctx: click.Context, name: str | None, tag: str | None) -> None:
    """List datasets."""
    click.echo(repr(open_workspace(ctx, looks=True).datasets.list(name=name, tag=tag)))


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the dataset.")
@click.option("--tag", "tags", multiple=True)
@click.option("--as-slices", is_flag=True, help="One dataset per slice.")
@click.option(
    "--dry-run", is_flag=True, help="Of an algorithm or RO-Crate: say what it would bring; import nothing."
)
@click.option("--no-check", is_flag=True, help="Of an algorithm: skip the import in a clean process.")
@click.option(
    "--code", is_flag=True, help="Of an RO-Crate: its algorithms and functions too. Only if you trust it."
)
@click.pass_context
def import_(
    ctx: click.Context,
    path: Path,
    name: str | None,
    tags: tuple[str, ...],
    as_slices: bool,
    dry_run: bool,
    no_check: bool,
    code: bool,
) -> None:
    """Import an image, stack, array file, folder of slices, an exported algorithm (.wbalg), or an RO-Crate of ours."""
    from workbench.commands.imports import bring, is_crate

    if path.suffix == ".wbalg" or is_crate(path):
        if name or tags or as_slices:
            raise InvalidInputError("What was exported has its own names and tags. Leave the options out.")
        click.echo(repr(bring(open_workspace(ctx), path, dry_run=dry_run, check=not no_check, code=code)))
        return
    if dry_run or no_check or code:
        raise InvalidInputError(
            "--dry-run, --no-check and --code are for algorithms (.wbalg) and RO-Crates. Leave them out."
        )
    found = open_workspace(ctx).datasets.import_file(path, name=name, tags=tags, as_slices=as_slices)
    for dataset in found if isinstance(found, list) else [found]:
        click.echo(repr(dataset))


@click.command()
@click.argument("what", metavar="DATASET|ALGORITHM")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--no-lineage", is_flag=True, help="Of an algorithm: without the records of its runs.")
@click.option("--data", is_flag=True, help="Of an algorithm: with the arrays of its runs.")
@click.pass_context
def export(ctx: click.Context, what: str, path: Path, no_lineage: bool, data: bool) -> None:
    """Write a dataset to a file, whose suffix says the format, or an algorithm with its runs to a file .wbalg."""
    if path.suffix == ".wbalg":
        done = open_workspace(ctx, looks=True).algorithms.export(
            what, path, lineage=not no_lineage, data=data
        )
        click.echo(f"wrote {done}")
        return
    if no_lineage or data:
        raise InvalidInputError("--no-lineage and --data are for algorithms (.wbalg). Leave them out.")
    click.echo(f"wrote {open_workspace(ctx, looks=True).datasets.find(what).export(path)}")
