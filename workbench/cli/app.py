"""The command ``workbench``: what the magics do, from files beside this one, and what is only asked for in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from workbench.cli.algorithms import checkout, deploy, describe, list_algorithms
from workbench.cli.batch import batch
from workbench.cli.bundles import bundle
from workbench.cli.context import in_terminal, open_workspace
from workbench.cli.data import data, export, import_
from workbench.cli.entries import entries
from workbench.cli.host import host
from workbench.cli.pipelines import pipeline
from workbench.cli.runs import compare, jobs, lineage, replay, run, why
from workbench.cli.sessions import session
from workbench.cli.templates import template
from workbench.cli.versions import links, retrain, versions
from workbench.errors import InvalidInputError, WorkbenchError
from workbench.version import __version__


class _Group(click.Group):
    """Shows errors of workbench as one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WorkbenchError as error:
            raise click.ClickException(in_terminal(str(error))) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="workbench")
@click.option(
    "-w", "--workspace", "url", metavar="URL", help="Workspace: folder, file://, s3://bucket/prefix."
)
@click.pass_context
def main(ctx: click.Context, url: str | None = None) -> None:
    """Deploy algorithms, run them on your data, find everything again."""
    ctx.obj = url


for _command in (
    *(deploy, list_algorithms, describe, checkout),
    *(run, jobs, why, replay, compare, lineage),
    *(batch, template, pipeline, session, host),
    *(data, import_, export, entries, bundle),
    *(versions, links, retrain),
):
    main.add_command(_command)


@main.command()
@click.pass_context
def reindex(ctx: click.Context) -> None:
    """Build the catalog anew from what lies in the store."""
    counts = open_workspace(ctx, looks=True).reindex()
    click.echo("reindexed " + ", ".join(f"{n} {what}" for what, n in counts.items()))


@main.command()
@click.option("--delete", is_flag=True, help="Delete them; without it they are only listed.")
@click.option(
    "--older-than",
    "hours",
    type=click.FloatRange(min=0),
    default=24.0,
    metavar="HOURS",
    help="Only what was written so many hours ago; default: 24. What is younger may just be being saved.",
)
@click.pass_context
def gc(ctx: click.Context, delete: bool, hours: float) -> None:
    """List, or delete, states of steps that no version names: what a killed process left behind."""
    found = open_workspace(ctx, looks=True).links.orphans(hours * 3600, delete=delete)
    click.echo(repr(found))
    if found:
        size = sum(info.size for info in found)
        click.echo(f"deleted {size:,} bytes" if delete else f"{size:,} bytes; --delete removes them")


@main.command()
@click.pass_context
def settings(ctx: click.Context) -> None:
    """Show every setting, its value and where it came from."""
    from workbench.pages import text_table
    from workbench.settings import default_url, load

    _, sources = load({"url": ctx.obj} if ctx.obj else None)
    rows = []
    for name, source in sources.items():
        value = default_url() if name == "url" and source.value is None else source.text
        shown = "(set)" if name == "storage_options" and source.value else value
        rows.append({"setting": name, "value": shown, "from": source.origin, "what": source.description})
    click.echo(text_table(rows))


@main.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check this installation and workspace; exit 1 if something needs attention."""
    from workbench.doctor import examine

    worst = True
    for finding in examine(ctx.obj):
        click.echo(f"{finding.mark} {finding.what}: {finding.text}")
        worst = worst and finding.ok is not False
    ctx.exit(0 if worst else 1)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
def demo(folder: Path) -> None:
    """Run the examples on real images and leave a page with the pictures."""
    from workbench.demo import make_demo

    page = make_demo(folder, say=click.echo)
    click.echo(f"\nOpen {page}")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Open JupyterLab on the quickstart; further arguments go to JupyterLab."""
    import subprocess

    from workbench.demo import examples_folder

    notebook = examples_folder() / "quickstart.ipynb"
    if not notebook.exists():
        raise InvalidInputError(f"The quickstart {notebook} is missing. Install workbench again.")
    command = [sys.executable, "-m", "jupyter", "lab", str(notebook), *arguments]
    raise SystemExit(subprocess.call(command))
