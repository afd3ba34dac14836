"""``%algobatch``: sweeps, in a module of its own; the other magics are in `workbench.notebook.magics`."""

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
    from workbench.batch.sweep import SweepEvent
    from workbench.execution.events import RunEvent

NAME = "algobatch"


@magics_class
class BatchMagics(Magics):  # type: ignore[misc]
    """The magic for sweeps; ``%algobatch?`` shows its help."""

    @magic_arguments()
    @argument("what", nargs="?", help="Algorithm, its folder, or a notebook; nothing lists the sweeps.")
    @argument(
        "words",
        nargs="*",
        help="Inputs, and key=values: sigma=1,2,3 or sigma=1:5:0.5 vary, one value is the same for all points.",
    )
    @argument("-j", "--jobs", type=int, default=None, metavar="N", help="How many at once; default: 2.")
    @argument(
        "--each-input", action="store_true", help="All points for each input, instead of all inputs together."
    )
    @argument("--zip", action="store_true", help="Lists side by side instead of each with each.")
    @argument("--table", default=None, metavar="FILE", help="A CSV file or DataFrame: a point for each row.")
    @argument(
        "--sample",
        type=int,
        default=None,
        metavar="N",
        help="Draw N points: sigma=0.5:4 in between, sigma=log:0.01:1 by magnitude, mode=a,b one of them.",
    )
    @argument("--seed", type=int, default=0, help="Equal seeds draw equal points.")
    @argument("--resume", default=None, metavar="ID", help="Do what a sweep has no result for.")
    @argument(
        "--report",
        nargs="?",
        const="report-{id}",
        default=None,
        metavar="FOLDER",
        help="Write its pages when it has ended; default: report-ID, here. Give it last.",
    )
    @argument("--attach", default=None, metavar="ID", help="Follow a sweep of any kernel.")
    @argument("--cancel", default=None, metavar="ID", help="End a sweep; what is done stays.")
    @argument("--fail-fast", action="store_true", help="End all with the first run that fails.")
    @argument("--timeout", type=float, default=None, metavar="S", help="Seconds after which a run is ended.")
    @argument("--retries", type=int, default=0, metavar="N", help="How often a failed run is tried again.")
    @argument(
        "--reuse",
        choices=["never", "auto", "only"],
        default=None,
        help="Whether a completed run that is the same stands for a point; default: auto.",
    )
    @argument("-x", "--executor", default=None, help="Where runs happen: process (default) or kernel.")
    @argument("-d", "--device", default=None, help="cpu, gpu, cuda, cuda:1, mps.")
    @argument("--name", default=None, help="To find the sweep by.")
    @argument("--priority", type=int, default=0, help="Of runs that wait, higher ones start first.")
    @argument(
        "-b", "--background", action="store_true", help="Return at once; it goes on when the kernel ends."
    )
    @argument("-o", "--output", default=None, metavar="VAR", help="Variable for the sweep.")
    @needs_local_scope
    @output_can_be_silenced
    @line_cell_magic
    @usage
    def algobatch(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Run an algorithm or a notebook over many points. As a cell magic the body holds parameters as YAML; lists vary."""
        from workbench.batch.places import check_writable
        from workbench.commands.batch import batch_words, write_sweep_report
        from workbench.notebook.live_line import LiveLine
        from workbench.workspace import current

        args = arguments_of(self.algobatch, line)
        if args.output is not None and not args.output.isidentifier():
            raise UsageError(f"-o {args.output!r} is no variable name. Give one such as -o sweep.")
        if args.report is not None and args.background:
            raise UsageError(
                "--report is written when the sweep has ended, and -b does not wait for that. "
                "Leave one out, or write it later: %algobatch --attach ID --report."
            )
        if args.report is not None:
            check_writable(args.report)  # not only when all is done
        sweeps = current().sweeps
        if args.attach is not None and args.report is None:
            return sweeps.get(args.attach).view()
        if args.cancel is not None:
            return sweeps.get(args.cancel).cancel()
        with LiveLine(self.shell, enabled=not args.background) as live_line:

            def show(event: SweepEvent) -> None:
                live_line.show(_as_run_event(event))

            if args.attach is not None:
                sweep = sweeps.get(args.attach).wait(listener=show)
            elif args.resume is not None:
                if args.what is not None:
                    raise UsageError(
                        f"--resume goes on with what sweep {args.resume} has, and {args.what!r} is more. Leave it out."
                    )
                sweep = sweeps.get(args.resume).resume(
                    jobs=args.jobs, wait=not args.background, on_event=None if args.background else show
                )
            elif args.what is None:
                return sweeps.list()
            else:
                sweep = batch_words(
                    current(),
                    args.what,
                    args.words,
                    namespace={**self.shell.user_ns, **(local_ns or {})},
                    body=read_body(cell),
                    each_input=args.each_input,
                    zip=args.zip,
                    table=args.table,
                    samples=args.sample,
                    seed=args.seed,
                    jobs=args.jobs if args.jobs is not None else 2,
                    executor=args.executor,
                    device=args.device,
                    timeout_s=args.timeout,
                    retries=args.retries,
                    fail_fast=args.fail_fast,
                    reuse=args.reuse,
                    name=args.name,
                    priority=args.priority,
                    wait=not args.background,
                    on_event=None if args.background else show,
                )
        if args.report is not None:
            print(write_sweep_report(sweep, args.report))
        if args.output is not None:
            self.shell.user_ns[args.output] = sweep
        return sweep


def _as_run_event(event: SweepEvent) -> RunEvent:
    """Return what the line under a cell shows of a sweep."""
    from workbench.execution.events import RunEvent
    from workbench.models import RunStatus

    failed = f", {event.failed} failed" if event.failed else ""
    text = f"{event.completed} of {event.total} completed{failed}"
    return RunEvent(event.sweep_id, "progress", RunStatus.RUNNING, event.progress, text)
