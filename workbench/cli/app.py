"""The command ``workbench``: the magics for a terminal, plus demo, lab, doctor, reindex and settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.bundles import bundle
from workbench.cli.context import OPEN, in_terminal
from workbench.cli.entries import entries
from workbench.cli.pipelines import pipeline
from workbench.cli.versions import links, retrain, versions
from workbench.errors import InvalidInputError, NotFoundError, WorkbenchError
from workbench.version import __version__

if TYPE_CHECKING:
    from workbench.workspace import Workspace


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
    ctx.meta[OPEN] = lambda inner, **how: _open(ctx, **how)


def _open(ctx: click.Context, *, looks: bool = False) -> Workspace:
    """Open the workspace; a command that only looks makes none where there is none, for its name may be mistyped."""
    from workbench.settings import default_url, load
    from workbench.workspace import open as open_workspace

    if looks:
        place = load({"url": ctx.obj} if ctx.obj else None)[0].url or default_url()
        if "://" not in place and not Path(place).expanduser().exists():
            raise NotFoundError(
                f"There is no workspace {place}. Name another one with -w, or make it: workbench deploy FOLDER."
            )
    workspace = open_workspace(ctx.obj)
    ctx.call_on_close(workspace.close)
    return workspace


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would be stored; store nothing.")
@click.option("--no-check", is_flag=True, help="Skip the import in a clean process.")
@click.pass_context
def deploy(ctx: click.Context, path: Path, dry_run: bool, no_check: bool) -> None:
    """Deploy the algorithm in a folder."""
    deployed = _open(ctx).algorithms.deploy(path, dry_run=dry_run, check=not no_check)
    click.echo(repr(deployed))
    if deployed.note and not dry_run:
        click.echo(deployed.note)


@main.command("ls")
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
    page = _open(ctx, looks=True).algorithms.list(
        name=name, tags=tags, without_tags=without_tags, type=type_, device=device, as_of=as_of
    )
    click.echo(repr(page))


@main.command()
@click.argument("algorithm")
@click.pass_context
def describe(ctx: click.Context, algorithm: str) -> None:
    """Show an algorithm with its parameters."""
    click.echo(str(_open(ctx, looks=True).algorithms.describe(algorithm)))


@main.command()
@click.argument("algorithm")
@click.argument("words", nargs=-1, metavar="[INPUT]... [KEY=VALUE]...")
@click.option("-d", "--device", help="cpu, gpu, cuda, cuda:1, mps.")
@click.option("-s", "--session", help="Session to work in.")
@click.option("-x", "--executor", help="Where it runs: kernel or process.")
@click.option(
    "-b", "--background", is_flag=True, help="Return at once; the run goes on in a process of its own."
)
@click.option("--priority", type=int, default=0, help="Of runs that wait, higher ones start first.")
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    help="Seconds after which it is ended; in the kernel at its next log, progress or fetch.",
)
@click.option("--retries", type=int, default=0, help="How often a failed run is tried again.")
@click.option(
    "--reuse",
    type=click.Choice(["never", "auto", "only"]),
    help="Whether a completed run that is the same stands for this one.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File for the output (several are numbered), or a folder for .h5 files.",
)
@click.option("--debug", is_flag=True, help="Show the full traceback of the algorithm.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    algorithm: str,
    words: tuple[str, ...],
    executor: str | None,
    output: Path | None,
    debug: bool,
    background: bool,
    **options: Any,
) -> None:
    """Run an algorithm (NAME[@VERSION] or a folder) on datasets or files."""
    from workbench.commands.runs import executor_of, run_words

    workspace = _open(ctx)
    where = executor_of(workspace, executor, background=background)
    options = {**options, "debug": debug, "executor": where, "wait": not background}
    done = run_words(workspace, algorithm, words, **options)
    click.echo(repr(done))
    if background:
        return
    for number, dataset in enumerate(done.datasets):
        if output is None:
            click.echo(repr(dataset))
        else:
            target = _target(output, number, len(done.datasets))
            target.parent.mkdir(parents=True, exist_ok=True)
            click.echo(f"wrote {dataset.export(target)}")
    if done.status != "COMPLETED":
        if done.record.error is not None:
            click.echo(done.record.error.traceback, err=True)
        ctx.exit(1)


def _target(output: Path, number: int, count: int) -> Path:
    """Return the file of one of several outputs: in a folder, or beside each other with their numbers."""
    if output.is_dir() or not output.suffix:
        return output / f"{number:03d}.h5"
    return output if count == 1 else output.with_name(f"{output.stem}-{number:03d}{output.suffix}")


@main.command()
@click.argument("what", required=False)
@click.argument("words", nargs=-1, metavar="[INPUT]... [KEY=V1,V2]...")
@click.option("-j", "--jobs", type=int, help="How many at once; default: 2.")
@click.option("--each-input", is_flag=True, help="All points for each input, instead of all inputs together.")
@click.option("--zip", is_flag=True, help="Lists side by side instead of each with each.")
@click.option("--table", metavar="FILE", help="A CSV file: a point for each row.")
@click.option(
    "--sample", type=int, metavar="N", help="Draw N points: sigma=0.5:4, sigma=log:0.01:1, mode=a,b."
)
@click.option("--seed", type=int, default=0, help="Equal seeds draw equal points.")
@click.option("--fail-fast", is_flag=True, help="End all with the first run that fails.")
@click.option("--timeout", type=float, metavar="S", help="Seconds after which a run is ended.")
@click.option("--retries", type=int, default=0, help="How often a failed run is tried again.")
@click.option(
    "--reuse",
    type=click.Choice(["never", "auto", "only"]),
    help="Whether a completed run that is the same stands for a point; default: auto.",
)
@click.option("-x", "--executor", help="Where runs happen: process (default) or kernel.")
@click.option("-d", "--device", help="cpu, gpu, cuda, cuda:1, mps.")
@click.option("--name", help="To find the sweep by.")
@click.option("--priority", type=int, default=0, help="Of runs that wait, higher ones start first.")
@click.option("-b", "--background", is_flag=True, help="Return at once; the sweep goes on.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV or Parquet file for the table.")
@click.option(
    "--report",
    is_flag=False,
    flag_value="report-{id}",
    metavar="[FOLDER]",
    help="Write its pages when it has ended; default: report-ID, here. Give it last.",
)
@click.option("--resume", metavar="ID", help="Do what a sweep has no result for.")
@click.option(
    "--attach", metavar="ID", help="Follow a sweep that goes on elsewhere, or show one that has ended."
)
@click.option("--cancel", metavar="ID", help="End a sweep; what is done stays.")
@click.option("--every", metavar="TIME", help="Run it again every 15m, 1h, 1d: by cron.")
@click.option("--cron", metavar="FIELDS", help='Run it at these times: "0 2 * * *".')
@click.option("--list", "list_", is_flag=True, help="List what is scheduled.")
@click.option("--remove", metavar="ID", help="Take a schedule away.")
@click.pass_context
def batch(ctx: click.Context, /, **given: Any) -> None:
    """Run an algorithm (NAME[@VERSION] or a folder) or a notebook over many points; nothing lists the sweeps."""
    from workbench.cli.batch import batch as do

    do(lambda: _open(ctx), ctx.exit, **given)


@main.command()
@click.argument("run_id", required=False)
@click.argument(
    "action", required=False, type=click.Choice(["show", "log", "cancel", "attach", "resume"]), default="show"
)
@click.option("--status", help="Only in this state, such as FAILED.")
@click.option("--algorithm", help="Only of this algorithm.")
@click.pass_context
def jobs(
    ctx: click.Context, run_id: str | None, action: str, status: str | None, algorithm: str | None
) -> None:
    """List runs, or show, read the log of, cancel, follow one to its end, or resume one that did not complete."""
    workspace = _open(ctx, looks=True)
    if run_id is None:
        click.echo(repr(workspace.runs.list(status=status, algorithm=algorithm)))
        return
    found = workspace.runs.get(run_id)
    if action == "log":
        click.echo(str(found.log), nl=False)
    elif action == "cancel":
        click.echo(repr(found.cancel()))
    elif action == "resume":
        click.echo(repr(found.resume()))
    elif action == "attach":
        from workbench.commands.runs import follow

        click.echo(repr(follow(found, lambda text: click.echo(text, nl=False))))
    else:
        click.echo(repr(found))


@main.command()
@click.argument("run_id")
@click.pass_context
def why(ctx: click.Context, run_id: str) -> None:
    """Tell why a run (its id, or last) was computed or reused, and what differs from the nearest one."""
    from workbench.commands.runs import why as explain

    click.echo(repr(explain(_open(ctx, looks=True), run_id)))


@main.command()
@click.argument("run_id")
@click.option("--rtol", type=float, default=0.0, help="Relative tolerance for numbers.")
@click.option("--atol", type=float, default=0.0, help="Absolute tolerance for numbers.")
@click.option("-x", "--executor", help="Where it runs: kernel or process; default: as the first time.")
@click.option("-s", "--session", help="For a run that worked in a session: where to work now.")
@click.option(
    "--from-source", is_flag=True, help="First make its code anew from a fresh clone and the kept changes."
)
@click.option(
    "--pipeline", help="file.py:name with functions that the record of a pipeline does not lead to."
)
@click.pass_context
def replay(ctx: click.Context, /, run_id: str, **options: Any) -> None:
    """Compute a run (its id, or last) again and compare its outputs, of a pipeline all its nodes; exit with 1 if they differ."""
    from workbench.commands.runs import replay as again

    sys.path.append(str(Path.cwd()))  # functions of a pipeline are imported from where this is said
    done = again(_open(ctx, looks=True), run_id, **options)
    click.echo(repr(done))
    if not done.is_same:
        ctx.exit(1)


@main.command()
@click.argument("algorithm")
@click.argument("folder")
@click.option("--source", help="What to clone; default: where it was deployed from, else its origin.")
@click.pass_context
def checkout(ctx: click.Context, algorithm: str, folder: str, source: str | None) -> None:
    """Clone the repository of a deployed algorithm, at its commit, with what was not committed then."""
    click.echo(f"made {_open(ctx, looks=True).algorithms.checkout(algorithm, folder, source)}")


@main.command()
@click.argument("a")
@click.argument("b", required=False)
@click.pass_context
def compare(ctx: click.Context, a: str, b: str | None) -> None:
    """Show what differs between two runs (ids, or last: the default), or two versions (default: the one before)."""
    from workbench.commands.runs import compare as side_by_side

    click.echo(repr(side_by_side(_open(ctx, looks=True), a, b)))


@main.command()
@click.argument("ref", metavar="RUN|DATASET")
@click.option("-n", "--generations", type=int, default=10, help="How many runs deep.")
@click.option("--direction", type=click.Choice(["both", "up", "down"]), default="both")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A .json file (W3C PROV), .svg file, .zip or folder (RO-Crate).",
)
@click.pass_context
def lineage(ctx: click.Context, /, ref: str, generations: int, direction: str, output: Path | None) -> None:
    """Show what a run or dataset was made from, and what was made from it."""
    from workbench.commands.runs import lineage as walk

    found = walk(_open(ctx, looks=True), ref, generations, direction)
    click.echo(f"wrote {found.export(output)}" if output else repr(found))


@main.command()
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Remove its items.")
@click.option("--drop", is_flag=True, help="Remove it with its items.")
@click.pass_context
def session(ctx: click.Context, name: str | None, clear: bool, drop: bool) -> None:
    """List sessions, or the items of one; or empty or drop it."""
    from workbench.commands.sessions import session_words

    click.echo(repr(session_words(_open(ctx), name, clear=clear, drop=drop)))


@main.command()
@click.argument("name", required=False)
@click.option("--tag", help="Only with this tag.")
@click.pass_context
def data(ctx: click.Context, name: str | None, tag: str | None) -> None:
    """List datasets."""
    click.echo(repr(_open(ctx, looks=True).datasets.list(name=name, tag=tag)))


@main.command("import")
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
        click.echo(repr(bring(_open(ctx), path, dry_run=dry_run, check=not no_check, code=code)))
        return
    if dry_run or no_check or code:
        raise InvalidInputError(
            "--dry-run, --no-check and --code are for algorithms (.wbalg) and RO-Crates. Leave them out."
        )
    found = _open(ctx).datasets.import_file(path, name=name, tags=tags, as_slices=as_slices)
    for dataset in found if isinstance(found, list) else [found]:
        click.echo(repr(dataset))


@main.command()
@click.argument("what", metavar="DATASET|ALGORITHM")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--no-lineage", is_flag=True, help="Of an algorithm: without the records of its runs.")
@click.option("--data", is_flag=True, help="Of an algorithm: with the arrays of its runs.")
@click.pass_context
def export(ctx: click.Context, what: str, path: Path, no_lineage: bool, data: bool) -> None:
    """Write a dataset to a file, whose suffix says the format, or an algorithm with its runs to a file .wbalg."""
    if path.suffix == ".wbalg":
        done = _open(ctx, looks=True).algorithms.export(what, path, lineage=not no_lineage, data=data)
        click.echo(f"wrote {done}")
        return
    if no_lineage or data:
        raise InvalidInputError("--no-lineage and --data are for algorithms (.wbalg). Leave them out.")
    click.echo(f"wrote {_open(ctx, looks=True).datasets.find(what).export(path)}")


@main.group()
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

    click.echo(f"wrote {make_template(_open(ctx), algorithm, path, force=force)}")


@template.command("ls")
@click.pass_context
def template_ls(ctx: click.Context) -> None:
    """List the templates of the workspace."""
    click.echo(repr(_open(ctx).templates.list()))


@template.command("show")
@click.argument("path")
@click.pass_context
def template_show(ctx: click.Context, path: str) -> None:
    """Show the parameters of a template: a path, a URL, or the name of one in the workspace."""
    click.echo(repr(_open(ctx).templates.load(path)))


@template.command("put")
@click.argument("path")
@click.argument("name", required=False)
@click.pass_context
def template_put(ctx: click.Context, path: str, name: str | None) -> None:
    """Keep a notebook in the workspace."""
    click.echo(f"kept {_open(ctx).templates.put(path, name).source}")


@template.command("rm")
@click.argument("name")
@click.pass_context
def template_rm(ctx: click.Context, name: str) -> None:
    """Delete a template of the workspace."""
    _open(ctx).templates.delete(name)
    click.echo(f"deleted {name}")


main.add_command(entries)
main.add_command(bundle)
main.add_command(versions)
main.add_command(links)
main.add_command(retrain)
main.add_command(pipeline)


@main.command()
@click.pass_context
def reindex(ctx: click.Context) -> None:
    """Build the catalog anew from what lies in the store."""
    counts = _open(ctx, looks=True).reindex()
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
    found = _open(ctx, looks=True).links.orphans(hours * 3600, delete=delete)
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


@main.group()
def host() -> None:
    """Look at, or end, the process that has the background runs of a workspace."""


@host.command("status")
@click.pass_context
def host_status(ctx: click.Context) -> None:
    """Show what the run host is doing."""
    from workbench.commands import host as run_host

    click.echo(run_host.host_text(run_host.host_status(_open(ctx, looks=True))))


@host.command("stop")
@click.option("--force", is_flag=True, help="End it with its runs, which are cancelled.")
@click.pass_context
def host_stop(ctx: click.Context, force: bool) -> None:
    """End the run host."""
    from workbench.commands import host as run_host

    click.echo(run_host.stop_host(_open(ctx, looks=True), force=force))


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
