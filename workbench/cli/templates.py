"""The command ``workbench template``: notebooks with parameters from a terminal."""

from __future__ import annotations

import click

from workbench.cli.context import open_workspace


@click.group()
def template() -> None:
    """Make, keep and look at notebooks that are run with parameters."""


@template.command("new")
@click.argument("algorithm")
@click.argument("path", required=False)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_context
def template_new(ctx: click.Context, algorithm: str, path: str | None, force: bool) -> None:
    """Write a notebook that runs ALGORITHM: load inputs, run, show, record. PATH may be workbench://NAME.ipynb."""
    from workbench.commands.templates import make_template

    click.echo(f"wrote {make_template(open_workspace(ctx), algorithm, path, force=force)}")


@template.command("ls")
@click.pass_context
def template_ls(ctx: click.Context) -> None:
    """List the templates of the workspace."""
    click.echo(repr(open_workspace(ctx).templates.list()))


@template.command("show")
@click.argument("path")
@click.pass_context
def template_show(ctx: click.Context, path: str) -> None:
    """Show the parameters of a template: a path, a URL, or the name of one in the workspace."""
    click.echo(repr(open_workspace(ctx).templates.load(path)))


@template.command("put")
@click.argument("path")
@click.argument("name", required=False)
@click.pass_context
def template_put(ctx: click.Context, path: str, name: str | None) -> None:
    """Keep a notebook in the workspace."""
    click.echo(f"kept {open_workspace(ctx).templates.put(path, name).source}")


@template.command("rm")
@click.argument("name")
@click.pass_context
def template_rm(ctx: click.Context, name: str) -> None:
    """Delete a template of the workspace."""
    open_workspace(ctx).templates.delete(name)
    click.echo(f"deleted {name}")
