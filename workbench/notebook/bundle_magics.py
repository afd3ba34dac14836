"""``%bundle``: folders kept in step by checksum; the other magics are in `workbench.notebook.magics`."""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, output_can_be_silenced
from IPython.core.magic_arguments import argument, magic_arguments

from workbench.notebook.magics import arguments_of, usage


@magics_class
class BundleMagics(Magics):  # type: ignore[misc]
    """The magic for bundles; ``%bundle?`` shows its help."""

    @magic_arguments()
    @argument("action", choices=["push", "pull", "diff", "ls", "verify", "restore", "rm"], help="What to do.")
    @argument("name", nargs="?", help="Of the bundle; NAME@VERSION for an older version.")
    @argument("folder", nargs="?", help="For push, pull and diff.")
    @argument("--what", default="all", help="all (default), data or model.")
    @argument("--prefer", default=None, help="Where both sides changed a file: mine or theirs.")
    @argument("--delete", action="store_true", help="Also remove what was removed on the other side.")
    @argument("--dry-run", action="store_true", help="Say what would move; move nothing.")
    @argument("--include", action="append", metavar="PATTERN", help="Only these, as in .gitignore.")
    @argument("--exclude", action="append", metavar="PATTERN", help="Without these, as in .gitignore.")
    @argument("--rehash", action="store_true", help="Read every file, also those that look as they did.")
    @argument("-m", "--message", default="", help="What this version is.")
    @argument("--yes", action="store_true", help="Confirm rm.")
    @argument("--force", action="store_true", help="Of rm: also what something else was made from.")
    @output_can_be_silenced
    @line_magic
    @usage
    def bundle(self, line: str) -> Any:
        """Push a folder as a version of a bundle, pull one, show what differs, list, verify or delete."""
        from workbench.commands.bundles import bundle_words
        from workbench.workspace import current

        args = vars(arguments_of(self.bundle, line))
        confirmed = args.pop("yes")
        if args["action"] == "rm" and not confirmed:
            raise UsageError(f"rm deletes for good. Say: %bundle rm {args['name'] or 'NAME'} --yes.")
        return bundle_words(current().bundles, **args)
