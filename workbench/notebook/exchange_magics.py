"""``%algoexport``, ``%algoimport`` and ``%algodiff``: algorithms to and from other workspaces, and side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class, output_can_be_silenced
from IPython.core.magic_arguments import argument, magic_arguments

from workbench.notebook.magics import arguments_of, usage

if TYPE_CHECKING:
    from workbench.workspace import Workspace


@magics_class
class ExchangeMagics(Magics):  # type: ignore[misc]
    """Magics for algorithms that travel or are compared; ``%algoexport?`` shows the help of one."""

    @property
    def workspace(self) -> Workspace:
        from workbench.workspace import current

        return current()

    @magic_arguments()
    @argument("ref", help="NAME, NAME@1.2 (with all revisions), or a revision's id.")
    @argument("path", nargs="?", help="Such as denoise.wbalg; default: NAME-VERSION.wbalg, here.")
    @argument("--no-lineage", action="store_true", help="Without the records of its runs.")
    @argument("--data", action="store_true", help="With the arrays of its runs.")
    @argument("--overwrite", action="store_true", help="Replace a file that is there.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algoexport(self, line: str) -> Any:
        """Write an algorithm with its revisions and the records of its runs to one file."""
        args = arguments_of(self.algoexport, line)
        algorithm = self.workspace.algorithms.get(args.ref)
        path = args.path or f"{algorithm.name}-{algorithm.version}.wbalg"
        options = {"lineage": not args.no_lineage, "data": args.data, "overwrite": args.overwrite}
        return self.workspace.algorithms.export(args.ref, path, **options)

    @magic_arguments()
    @argument("path", help="A file that %%algoexport has written, or an RO-Crate of a lineage.")
    @argument("--dry-run", action="store_true", help="Say what it would bring; import nothing.")
    @argument("--no-check", action="store_true", help="Skip the import in a clean process.")
    @argument("--code", action="store_true", help="Of an RO-Crate: its code too. Only if you trust it.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algoimport(self, line: str) -> Any:
        """Bring an algorithm that was exported elsewhere, or the datasets and runs of an RO-Crate, under their own ids."""
        from workbench.commands.imports import bring

        args = arguments_of(self.algoimport, line)
        options = {"dry_run": args.dry_run, "check": not args.no_check, "code": args.code}
        return bring(self.workspace, args.path, **options)

    @magic_arguments()
    @argument("ref", help="NAME, NAME@1.2, or a revision's id.")
    @argument("folder", help="Empty, or not there yet.")
    @argument(
        "--source", default=None, help="What to clone; default: where it was deployed from, else its origin."
    )
    @output_can_be_silenced
    @line_magic
    @usage
    def algocheckout(self, line: str) -> Any:
        """Clone the repository of a deployed algorithm, at its commit, with what was not committed then."""
        args = arguments_of(self.algocheckout, line)
        return self.workspace.algorithms.checkout(args.ref, args.folder, args.source)

    @magic_arguments()
    @argument(
        "a", help="A run (id, or last), or an algorithm: NAME, NAME@1.2, NAME@2026-03-01, a revision's id."
    )
    @argument("b", nargs="?", help="Another one; default: the newest run, or the version before.")
    @output_can_be_silenced
    @line_magic
    @usage
    def algodiff(self, line: str) -> Any:
        """Show what differs between two runs, or between two versions of algorithms."""
        from workbench.commands.runs import compare

        args = arguments_of(self.algodiff, line)
        return compare(self.workspace, args.a, args.b)
