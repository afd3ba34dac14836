"""``%pipe``: pipelines; the other magics are in `workbench.notebook.magics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    needs_local_scope,
    output_can_be_silenced,
)
from IPython.core.magic_arguments import argument, magic_arguments

from workbench.notebook.magics import arguments_of, read_body, usage

if TYPE_CHECKING:
    from workbench.workspace import Workspace

NAME = "pipe"


@magics_class
class PipelineMagics(Magics):  # type: ignore[misc]
    """The magic for pipelines; ``%pipe?`` shows its help."""

    @magic_arguments()
    @argument(
        "action",
        nargs="?",
        choices=["list", "show", "run", "runs", "attach", "cancel"],
        default="list",
        help="list (default), show or run a pipeline, its runs; attach to a run or cancel it, by id.",
    )
    @argument("what", nargs="?", help="A variable, a pipeline's name, pipelines.py:pipe, or the id of a run.")
    @argument("words", nargs="*", help="Inputs, and node.parameter=value.")
    @argument("-x", "--executor", default=None, help="Where nodes run: kernel or process.")
    @argument(
        "-b",
        "--background",
        action="store_true",
        help="Return at once, with a live picture; nodes run in processes of their own.",
    )
    @argument(
        "--reuse",
        choices=["auto", "never", "only"],
        default="auto",
        help="auto (default) computes only what is stale.",
    )
    @argument("--debug", action="store_true", help="Raise what a node raises, for %%debug.")
    @argument("--timeout", type=float, default=None, metavar="S", help="Seconds after which it is ended.")
    @argument("--tag", action="append", default=[], help="A label for its runs; repeat for more.")
    @argument(
        "-o", "--output", default=None, metavar="VAR", help="Variable for run.result() (with -b: the run)."
    )
    @needs_local_scope
    @output_can_be_silenced
    @line_cell_magic
    @usage
    def pipe(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """List, show and run pipelines. As a cell magic the body holds parameters as YAML, by node."""
        from workbench.commands.pipelines import pipeline_rows, pipeline_run, run_rows, shown_pipeline
        from workbench.workspace import current

        args = arguments_of(self.pipe, line)
        if args.output is not None and not args.output.isidentifier():
            raise UsageError(f"-o {args.output!r} is no variable name. Give one such as -o clean.")
        namespace = {**self.shell.user_ns, **(local_ns or {})}
        if args.action == "list":
            return pipeline_rows(current(), namespace)
        if args.action == "runs":
            return run_rows(current(), args.what, namespace)
        if args.what is None:
            raise UsageError(f"Which one? %pipe {args.action} NAME. The pipelines there are: %pipe.")
        if args.action == "show":
            return shown_pipeline(current, args.what, namespace)
        if args.action == "cancel":
            return pipeline_run(current(), args.what).cancel()
        if args.action == "attach":
            return pipeline_run(current(), args.what).view()
        run = self._run(current(), args, cell, namespace)
        if args.output is not None:
            self.shell.user_ns[args.output] = run if args.background else run.result()
        return run

    def _run(self, workspace: Workspace, args: Any, cell: str | None, namespace: dict[str, Any]) -> Any:
        from workbench.commands.pipelines import find_pipeline, run_pipeline_words
        from workbench.commands.runs import executor_of
        from workbench.notebook.live_picture import LivePicture

        if args.background and args.debug:
            raise UsageError("--debug stops in the frame of a node, and -b does not wait for it. Keep one.")
        with LivePicture(self.shell, workspace.runs, enabled=not args.background) as picture:
            return run_pipeline_words(
                workspace,
                find_pipeline(args.what, namespace, workspace),
                args.words,
                namespace=namespace,
                body=read_body(cell),
                executor=executor_of(workspace, args.executor, background=args.background),
                reuse=args.reuse,
                wait=not args.background,
                debug=args.debug,
                timeout_s=args.timeout,
                tags=args.tag,
                on_event=picture.show,
            )
