"""``%entries`` and its kin: files of domains; the other magics are in `workbench.notebook.magics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, output_can_be_silenced
from IPython.core.magic_arguments import argument, magic_arguments

from workbench.notebook.magics import arguments_of, usage
from workbench.pages import Page

if TYPE_CHECKING:
    from workbench.library.entries import Entries


@magics_class
class EntryMagics(Magics):  # type: ignore[misc]
    """The magics for entries; ``%entries?`` shows the help of one."""

    @magic_arguments()
    @argument("words", nargs="*", help="A domain, and key=value that the metadata must have.")
    @argument("--kind", default=None, help="Only data, candidates or models.")
    @argument("--version", default=None, help="Only 3, or 1,2, or latest.")
    @argument("--where", default=None, metavar="CONDITION", help='Such as "val_error < 0.1 and size > 1000".')
    @argument(
        "--order",
        default="-created",
        help="created, version, size, name or a key; with - in front for descending.",
    )
    @argument("--trash", action="store_true", help="Those in the trash instead.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @argument("-n", "--limit", type=int, default=None, help="Entries per page.")
    @argument("--browse", action="store_true", help="A table to search in, with buttons for its pages.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entries(self, line: str) -> Any:
        """List entries, or search for some."""
        from workbench.commands.entries import entries_words

        args = arguments_of(self.entries, _with_descending(line))
        if args.browse:
            return _browser(args)
        return entries_words(
            _entries(args.app),
            args.words,
            kind=args.kind,
            version=args.version,
            where=args.where,
            order=args.order,
            trash=args.trash,
            limit=args.limit,
        )

    @magic_arguments()
    @argument("domain", help="Where they belong.")
    @argument("words", nargs="+", help="Files, and key=value for the metadata.")
    @argument("--kind", default="data", help="data (default), candidates or models.")
    @argument("--version", type=int, default=None, help="Default: the next one.")
    @argument("--extend", action="store_true", help="Add to a version that is there.")
    @argument("--reference", action="store_true", help="Only note where the files lie.")
    @argument("--no-check", action="store_true", help="Take files that are not what their kind says.")
    @argument(
        "--made-by", default=None, metavar="REF", help="What made them: STEP@1.2.0, or the id of a run."
    )
    @argument("--dry-run", action="store_true", help="Say which version it would be; add nothing.")
    @argument("--app", default=None, metavar="NAME", help="For another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entryadd(self, line: str) -> Any:
        """Add files to a domain, all under one version."""
        from workbench.commands.entries import add_words

        args = arguments_of(self.entryadd, line)
        added = add_words(
            _entries(args.app),
            args.domain,
            args.words,
            kind=args.kind,
            version=args.version,
            reference=args.reference,
            extend=args.extend,
            check=not args.no_check,
            made_by=args.made_by,
            dry_run=args.dry_run,
        )
        return added if isinstance(added, str) else _page(added)

    @magic_arguments()
    @argument("domain", nargs="?", default="", help="What the model is of.")
    @argument("file", nargs="?", default="", help="TorchScript or safetensors.")
    @argument("--app", default=None, metavar="NAME", help="For another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def modelform(self, line: str) -> Any:
        """Show a form that adds a model with its errors and its measure of uncertainty."""
        from workbench.notebook.model_form import ModelForm

        args = arguments_of(self.modelform, line)
        return ModelForm(_entries(args.app), args.domain, args.file)

    @magic_arguments()
    @argument("refs", nargs="+", help="Ids, domain/kind@version, or domain/kind@version/name.")
    @argument(
        "--kind", default=None, help="The kind they become; data, where neither it nor --domain is given."
    )
    @argument("--domain", default=None, help="The domain they go to.")
    @argument("--version", type=int, default=None, help="Another version instead of their own.")
    @argument("--folder", default=None, help="Where files by reference go.")
    @argument("--extend", action="store_true", help="Join a version that is there.")
    @argument("--no-check", action="store_true", help="Take files that are not what the kind says.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entrypromote(self, line: str) -> Any:
        """Show what a promotion would do, with a button that does it and one that takes it back."""
        from workbench.notebook.promotion_view import PromotionView

        args = arguments_of(self.entrypromote, line)
        where = {name: getattr(args, name) for name in ("kind", "domain", "version", "folder")}
        if not any(where.values()):
            where["kind"] = "data"
        return PromotionView(
            _entries(args.app), args.refs, extend=args.extend, check=not args.no_check, **where
        )

    @magic_arguments()
    @argument("refs", nargs="+", help="Ids, domain/kind@version, or domain/kind@version/name.")
    @argument("--kind", default=None, help="The kind they become.")
    @argument("--domain", default=None, help="The domain they go to.")
    @argument("--version", type=int, default=None, help="Another version instead of their own.")
    @argument("--folder", default=None, help="Where files by reference go.")
    @argument("--extend", action="store_true", help="Join a version that is there.")
    @argument("--no-check", action="store_true", help="Take files that are not what the kind says.")
    @argument("--back", action="store_true", help="To where they were before their last move.")
    @argument("--dry-run", action="store_true", help="Show what they would become; change nothing.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entrymove(self, line: str) -> Any:
        """Promote entries to another kind or domain; version and metadata stay."""
        from workbench.commands.entries import move_words

        args = arguments_of(self.entrymove, line)
        given = {name: getattr(args, name) for name in ("kind", "domain", "version", "folder", "extend")}
        given |= {"no_check": args.no_check, "back": args.back, "dry_run": args.dry_run}
        return _page(move_words(_entries(args.app), args.refs, **given))

    @magic_arguments()
    @argument("words", nargs="*", help="Ids, domain/kind@version[/name]; or key=value that all of them have.")
    @argument("--domain", default=None, help="All of a domain.")
    @argument("--kind", default=None, help="All of a kind.")
    @argument("--version", default=None, help="All of version 3, or 1,2, or latest.")
    @argument(
        "--where", default=None, metavar="CONDITION", help='All that fulfil it, such as "val_error > 0.5".'
    )
    @argument("--restore", action="store_true", help="Take them out of the trash again.")
    @argument("--purge", action="store_true", help="Forget them for good; needs --yes.")
    @argument("--yes", action="store_true", help="Confirm --purge.")
    @argument("--force", action="store_true", help="Purge what others were made from, too.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entryremove(self, line: str) -> Any:
        """Put entries into the trash: those that are named, or all that fulfil what is said."""
        from workbench.commands.entries import change_words, named_words

        args = arguments_of(self.entryremove, line)
        if args.purge and not args.yes:
            raise UsageError(
                "--purge deletes for good. Say --purge --yes, or leave it out: the trash can be restored."
            )
        which = {name: getattr(args, name) for name in ("domain", "kind", "version", "where")}
        in_trash = args.restore or (args.purge and not any(which.values()))
        entries = _entries(args.app)
        found = named_words(entries, args.words, trash=in_trash, **which)
        done = change_words(entries, found, restore=args.restore, purge=args.purge, force=args.force)
        if not found:
            return "No entry fulfils this; nothing was changed."
        return _page([] if args.purge else done)

    @magic_arguments()
    @argument("domain", help="Whose versions.")
    @argument("--kind", default="data", help="data (default), candidates or models.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entryversions(self, line: str) -> Any:
        """List the versions of a domain with their files, and say which is the next."""
        from workbench.commands.entries import versions_table

        args = arguments_of(self.entryversions, line)
        entries = _entries(args.app)
        found = versions_table(entries, args.domain, args.kind)
        print(f"The next one is {entries.next_version(args.domain, args.kind)}.")
        return found

    @magic_arguments()
    @argument("ref", help="An id, domain/kind@version, or domain/kind@version/name.")
    @argument("-n", "--generations", type=int, default=10, help="How far; default: 10.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entrylineage(self, line: str) -> Any:
        """List what an entry was made from, and what was made from it, step by step."""
        args = arguments_of(self.entrylineage, line)
        return _entries(args.app).find(args.ref).lineage(args.generations)

    @magic_arguments()
    @argument("ref", help="An id, domain/kind@version, or domain/kind@version/name.")
    @argument("path", help="Where the file goes; a folder for all files of a version.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entryexport(self, line: str) -> Any:
        """Copy the files of an entry or a version to a path, compared with their digests on the way."""
        from workbench.commands.entries import export_words

        args = arguments_of(self.entryexport, line)
        return export_words(_entries(args.app), args.ref, args.path)

    @magic_arguments()
    @argument("refs", nargs="+", help="Ids, domain/kind@version, or domain/kind@version/name.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entryverify(self, line: str) -> Any:
        """Compare the files of entries with the digests that they had when they were added."""
        from workbench.commands.entries import verify_words

        args = arguments_of(self.entryverify, line)
        found = verify_words(_entries(args.app), args.refs)
        return Page(found, lambda one: {"entry": one[0], "verdict": one[1] or "ok"}, None, "entries")

    @magic_arguments()
    @argument("kind", help="data, candidates or models.")
    @argument("domain", nargs="?", default=None, help="What the name begins with.")
    @argument("--app", default=None, metavar="NAME", help="Of another application.")
    @output_can_be_silenced
    @line_magic
    @usage
    def entryname(self, line: str) -> Any:
        """Suggest a file name that no other file has."""
        args = arguments_of(self.entryname, line)
        return _entries(args.app).suggest_name(args.kind, args.domain)


def _entries(application: str | None) -> Entries:
    from workbench.commands.entries import entries_of
    from workbench.workspace import current

    return entries_of(current(), application)


def _browser(args: Any) -> Any:
    from workbench.notebook.entry_browser import EntryBrowser

    if len(args.words) > 1 or args.trash or args.version or any("=" in word for word in args.words):
        raise UsageError(
            "--browse takes a domain, --kind, --where, --order and -n; the rest is chosen in the table."
        )
    domain = args.words[0] if args.words else None
    return EntryBrowser(_entries(args.app), domain, args.kind, args.where, order=args.order, limit=args.limit)


def _page(entries: Any) -> Any:
    return Page(entries, lambda entry: entry.row(), None, "entries left")


def _with_descending(line: str) -> str:
    """Return the line with ``--order -key`` as one word: argparse takes ``-key`` for an option."""
    return line.replace("--order -", "--order=-")
