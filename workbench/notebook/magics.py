"""The magics: a line is parsed, the workspace does it, the object is returned and shows itself."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    cell_magic,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    output_can_be_silenced,
)
from IPython.core.magic_arguments import argument, magic_arguments

from workbench.errors import RunError, WorkbenchError

if TYPE_CHECKING:
    from workbench.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
NAMES = (
    "workbench",
    "algodeploy",
    "algols",
    "algorun",
    "algoform",
    "algojobs",
    "algowhy",
    "algoreplay",
    "algolineage",
    "algosession",
    "algobatch",
    "algocheckout",
    "algodiff",
    "algoexport",
    "algoimport",
    "bundle",
    "entries",
    "entryadd",
    "entrymove",
    "entrypromote",
    "entryremove",
    "entryversions",
    "entrylineage",
    "entryexport",
    "entryverify",
    "entryname",
    "pipe",
    "modelform",
    "versions",
    "links",
    "retrain",
)
CELL_NAMES = ("algorithm", "algorun", "algobatch", "pipe")


def split_line(line: str) -> list[str]:
    """Split a magic's line as a shell does; on Windows a backslash is part of a path."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if os.name == "nt":
        lexer.escape = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"{line!r} cannot be read: {error}. Close the quotes.") from error


def usage(function: F) -> F:
    """Turn an error of workbench into a UsageError: one line, no traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RunError:
            raise
        except WorkbenchError as error:
            raise UsageError(str(error)) from error

    return wrapped  # type: ignore[return-value]


def arguments_of(magic: Any, line: str) -> Any:
    """Return what a magic's line says, as its arguments declare."""
    # intermixed: options may stand between inputs; a semicolon at the end silences the output, as IPython sees to
    return magic.parser.parse_intermixed_args(split_line(line.rstrip().removesuffix(";")))


@magics_class
class WorkbenchMagics(Magics):  # type: ignore[misc]
    """Magics of workbench; ``%algorun?`` shows the help of one."""

    @property
    def workspace(self) -> Workspace:
        from workbench.workspace import current

        return current()

    @magic_arguments()
    @argument(
        "url",
        nargs="?",
        help="Folder, file://, memory://name or s3://bucket/prefix; nothing shows the current one.",
    )
    @output_can_be_silenced
    @line_magic
    @usage
    def workbench(self, line: str) -> Any:
        """Open a workspace, or show the current one."""
        args = arguments_of(self.workbench, line)
        if args.url:
            from workbench.workspace import open as open_workspace

            return open_workspace(args.url)
        return self.workspace

    @magic_arguments()
    @argument("path", help="Folder with a pyproject.toml and a Runner.")
    @argument("--dry-run", action="store_true", help="Show what is code and what is asset; store nothing.")
    @argument("--no-check", action="store_true", help="Skip the import in a clean process.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algodeploy(self, line: str) -> Any:
        """Deploy the algorithm in a folder."""
        args = arguments_of(self.algodeploy, line)
        return self.workspace.algorithms.deploy(args.path, dry_run=args.dry_run, check=not args.no_check)

    @magic_arguments()
    @argument("name", help="name@major.minor, such as invert@1.0.")
    @argument("--type", default=None, help="Algorithm type; default: from the Runner's base class.")
    @argument("--tag", action="append", default=[], help="A tag; repeat for more.")
    @argument("--no-check", action="store_true", help="Skip the import in a clean process.")
    @output_can_be_silenced
    @cell_magic
    @usage
    def algorithm(self, line: str, cell: str) -> Any:
        """Deploy the Runner class in this cell. Its parameters: a nested pydantic class ``Parameters``."""
        from workbench.notebook.cell_algorithm import deploy_cell

        args = arguments_of(self.algorithm, line)
        return deploy_cell(
            self.workspace, args.name, cell, type=args.type, tags=args.tag, check=not args.no_check
        )

    @magic_arguments()
    @argument("name", nargs="?", help="Only this algorithm; may hold * and ?.")
    @argument("--tag", action="append", default=[], help="Only with this tag; all of them when repeated.")
    @argument("--any-tag", action="append", default=[], help="Only with at least one of these tags.")
    @argument("--without-tag", action="append", default=[], help="Only without this tag.")
    @argument("--type", default=None, help="Only of this type, such as Image2Image.")
    @argument("--device", default=None, help="Only for this device: cpu, gpu, mps.")
    @argument(
        "--as-of", default=None, metavar="DATE", help="As it was then: 2026-03-01, or 2026-03-01T14:30."
    )
    @output_can_be_silenced
    @line_magic
    @usage
    def algols(self, line: str) -> Any:
        """List the deployed algorithms."""
        args = arguments_of(self.algols, line)
        return self.workspace.algorithms.list(
            name=args.name,
            tags=args.tag,
            any_tags=args.any_tag,
            without_tags=args.without_tag,
            type=args.type,
            device=args.device,
            as_of=args.as_of,
        )

    @magic_arguments()
    @argument(
        "algorithm",
        help="name, name@1, name@1.2, name@alias, name@2026-03-01, or the folder of one that is not deployed.",
    )
    @argument(
        "words", nargs="*", help="Inputs (a variable, a dataset id or name, a file) and key=value parameters."
    )
    @argument("--debug", action="store_true", help="Raise what the algorithm raises, for %%debug.")
    @argument("-d", "--device", default=None, help="cpu, gpu, cuda, cuda:1, mps.")
    @argument("-s", "--session", default=None, help="Session to work in.")
    @argument("-x", "--executor", default=None, help="Where it runs: kernel or process.")
    @argument(
        "-b",
        "--background",
        action="store_true",
        help="Return at once; the run goes on in a process of its own, which outlives the kernel.",
    )
    @argument("--priority", type=int, default=0, help="Of runs that wait, higher ones start first.")
    @argument(
        "-o",
        "--output",
        default=None,
        metavar="VAR",
        help="Variable for run.result() (with -b: for the run).",
    )
    @argument(
        "--timeout",
        type=float,
        default=None,
        metavar="S",
        help="Seconds after which it is ended; in the kernel at its next log, progress or fetch.",
    )
    @argument("--retries", type=int, default=0, metavar="N", help="How often a failed run is tried again.")
    @argument(
        "--reuse",
        choices=["never", "auto", "only"],
        default=None,
        help="Whether a completed run that is the same stands for this one.",
    )
    @needs_local_scope
    @output_can_be_silenced
    @line_cell_magic
    @usage
    def algorun(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Run an algorithm. As a cell magic the body holds parameters as YAML."""
        from workbench.commands.runs import executor_of, run_words
        from workbench.notebook.live_line import LiveLine

        args = arguments_of(self.algorun, line)
        if args.output is not None and not args.output.isidentifier():
            raise UsageError(f"-o {args.output!r} is no variable name. Give one such as -o clean.")
        namespace = {**self.shell.user_ns, **(local_ns or {})}
        with LiveLine(self.shell, enabled=not args.background) as live_line:
            run = run_words(
                self.workspace,
                args.algorithm,
                args.words,
                body=read_body(cell),
                namespace=namespace,
                debug=args.debug,
                device=args.device,
                session=args.session,
                executor=executor_of(self.workspace, args.executor, background=args.background),
                priority=args.priority,
                wait=not args.background,
                timeout_s=args.timeout,
                retries=args.retries,
                reuse=args.reuse,
                on_event=live_line.show,
            )
        if (
            args.output is not None
        ):  # a run that did not complete has no result: its error is raised, as result() does
            self.shell.user_ns[args.output] = run if args.background else run.result()
        return run

    @magic_arguments()
    @argument("algorithm", help="name, name@1, name@1.2 or name@alias; or a template, a notebook.ipynb.")
    @argument("inputs", nargs="*", help="Variables, dataset ids or names, files.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algoform(self, line: str) -> Any:
        """Show the form of an algorithm or a template: parameters, Run, progress, log, outputs."""
        from workbench.notebook.forms import Form

        args = arguments_of(self.algoform, line)
        return Form(self.workspace, args.algorithm, inputs=args.inputs)

    @magic_arguments()
    @argument("id", nargs="?", help="Run id, or last; nothing lists the newest runs.")
    @argument("action", nargs="?", choices=["show", "log", "cancel", "attach", "resume"], default="show")
    @argument("--status", default=None, help="Only in this state, such as FAILED.")
    @argument("--algorithm", default=None, help="Only of this algorithm.")
    @argument("-n", "--limit", type=int, default=None, help="Runs per page.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algojobs(self, line: str) -> Any:
        """List runs; or show, read the log of, cancel, watch or resume one."""
        args = arguments_of(self.algojobs, line)
        runs = self.workspace.runs
        if args.id is None:
            return runs.list(status=args.status, algorithm=args.algorithm, limit=args.limit)
        run = runs.get(args.id)
        if args.action == "log":
            return run.log
        if args.action == "cancel":
            return run.cancel()
        if args.action == "resume":
            return run.resume()
        if args.action == "attach":
            if not hasattr(self.shell, "kernel"):  # a terminal shows no widget
                from workbench.commands.runs import follow

                return follow(run, lambda text: print(text, end="", flush=True))
            return run.view()
        return run

    @magic_arguments()
    @argument("name", nargs="?", help="Session; nothing lists all.")
    @argument("--clear", action="store_true", help="Remove its items.")
    @argument("--drop", action="store_true", help="Remove it with its items.")
    @argument("--view", action="store_true", help="Show it as a widget that can be refreshed.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algosession(self, line: str) -> Any:
        """List sessions, or the items of one with sizes and ages; or empty or drop it."""
        from workbench.commands.sessions import session_words

        args = arguments_of(self.algosession, line)
        found = session_words(self.workspace, args.name, clear=args.clear, drop=args.drop)
        if args.view:
            from workbench.notebook.session_view import SessionView

            return SessionView(self.workspace.sessions, None if args.drop else args.name)
        return found

    @magic_arguments()
    @argument("id", nargs="?", default="last", help="Run id; nothing means the newest run.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algowhy(self, line: str) -> Any:
        """Tell why a run was computed or reused, and what differs from the nearest earlier run."""
        from workbench.commands.runs import why

        return why(self.workspace, arguments_of(self.algowhy, line).id)

    @magic_arguments()
    @argument("id", nargs="?", default="last", help="Run id; nothing means the newest run.")
    @argument("--rtol", type=float, default=0.0, help="Relative tolerance for numbers.")
    @argument("--atol", type=float, default=0.0, help="Absolute tolerance for numbers.")
    @argument("-x", "--executor", default=None, help="Where it runs; default: as the first time.")
    @argument("-s", "--session", default=None, help="For a run that worked in a session: where to work now.")
    @argument(
        "--from-source",
        action="store_true",
        help="First make its code anew from a fresh clone and the kept changes.",
    )
    @argument(
        "--pipeline",
        default=None,
        help="A variable or file.py:name with functions that the record of a pipeline does not lead to.",
    )
    @output_can_be_silenced
    @line_magic
    @usage
    def algoreplay(self, line: str) -> Any:
        """Compute a run again and compare its outputs with those of the first time; of a pipeline all its nodes."""
        from workbench.commands.runs import replay

        args = vars(arguments_of(self.algoreplay, line))
        return replay(self.workspace, args.pop("id"), namespace=self.shell.user_ns, **args)

    @magic_arguments()
    @argument(
        "ref", nargs="?", default="last", help="Run id, or a dataset's id or name; default: the newest run."
    )
    @argument("-n", "--generations", type=int, default=10, help="How many runs deep.")
    @argument(
        "--direction", choices=["both", "up", "down"], default="both", help="up: what it was made from."
    )
    @argument(
        "-o", "--output", default=None, help="A .json file (W3C PROV), .svg file, .zip or folder (RO-Crate)."
    )
    @output_can_be_silenced
    @line_magic
    @usage
    def algolineage(self, line: str) -> Any:
        """Draw what a run or dataset was made from, and what was made from it."""
        from workbench.commands.runs import lineage

        args = arguments_of(self.algolineage, line)
        found = lineage(self.workspace, args.ref, args.generations, args.direction)
        return found if args.output is None else found.export(args.output)


def read_body(cell: str | None) -> dict[str, Any]:
    """Return the parameters that a cell body holds as YAML.

    Raises
    ------
    UsageError
        If it is no YAML mapping.
    """
    if cell is None or not cell.strip():
        return {}
    import yaml

    try:
        body = yaml.safe_load(cell)
    except yaml.YAMLError as error:
        raise UsageError(f"The cell body is not YAML: {error}. Write one 'name: value' per line.") from error
    if body is None:
        return {}
    if not isinstance(body, dict) or not all(isinstance(k, str) for k in body):
        raise UsageError(f"The cell body is {type(body).__name__}, expected one 'name: value' per line.")
    return body


def register(shell: Any) -> None:
    """Register magics and completion with a shell."""
    from workbench.notebook import live_display
    from workbench.notebook.batch_magics import BatchMagics
    from workbench.notebook.bundle_magics import BundleMagics
    from workbench.notebook.class_changes import install as install_changes
    from workbench.notebook.completion import install
    from workbench.notebook.entry_magics import EntryMagics
    from workbench.notebook.exchange_magics import ExchangeMagics
    from workbench.notebook.pipeline_magics import PipelineMagics
    from workbench.notebook.version_magics import VersionMagics

    shell.register_magics(WorkbenchMagics, BatchMagics, EntryMagics, BundleMagics, ExchangeMagics)
    shell.register_magics(PipelineMagics, VersionMagics)
    install(shell)
    live_display.install(shell)
    install_changes(shell)


def unregister(shell: Any) -> None:
    """Take magics and completion away again."""
    from workbench.notebook import live_display
    from workbench.notebook.class_changes import remove as remove_changes
    from workbench.notebook.completion import remove

    for name in NAMES:
        shell.magics_manager.magics["line"].pop(name, None)
    for name in CELL_NAMES:
        shell.magics_manager.magics["cell"].pop(name, None)
    for name in (
        *(WorkbenchMagics.__name__, "BatchMagics", "EntryMagics", "BundleMagics", "ExchangeMagics"),
        *("PipelineMagics", "VersionMagics"),
    ):
        shell.magics_manager.registry.pop(name, None)
    remove(shell)
    live_display.remove(shell)
    remove_changes(shell)
