"""Words of a line about bundles become a call: for the magics and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError

if TYPE_CHECKING:
    from workbench.library.bundles import Bundles

ACTIONS = ("push", "pull", "diff", "ls", "verify", "restore", "rm")
_OF_PUSH = ("prefer", "delete", "dry_run", "message")
_OF_PULL = ("prefer", "delete", "dry_run")


def bundle_words(
    bundles: Bundles,
    action: str,
    name: str | None = None,
    folder: str | None = None,
    *,
    what: str = "all",
    include: list[str] | tuple[str, ...] | None = None,
    exclude: list[str] | tuple[str, ...] | None = None,
    rehash: bool = False,
    **options: Any,
) -> Any:
    """Do what a line says, and return what there is to see.

    Raises
    ------
    InvalidInputError
        If a name or folder is missing, or there is an option too many.
    """
    if action == "ls":
        _refuse(action, folder, options)
        return _listed(bundles, name, what)
    if name is None:
        raise InvalidInputError(f"Which bundle? Write: bundle {action} NAME.")
    if action in ("verify", "restore", "rm"):
        message = options.pop("message", "") if action == "restore" else ""
        force = bool(options.pop("force", False)) if action == "rm" else False
        _refuse(action, folder, options)
        if action == "restore":
            return bundles.restore(name, message=message)
        if action == "verify":
            return bundles.verify(name, progress=True)
        count = bundles.delete(name, force=force)
        return f"deleted {count} version{'s' if count > 1 else ''} of {name.partition('@')[0]}"
    if folder is None:
        raise InvalidInputError(f"Which folder? Write: bundle {action} {name} FOLDER.")
    which: dict[str, Any] = {"include": include or (), "exclude": exclude or (), "rehash": rehash}
    if action == "diff":
        _refuse(action, None, options)
        return bundles.diff(name, folder, what, **which)
    if action == "push":
        return bundles.push(name, folder, what, progress=True, **which, **_only(action, _OF_PUSH, options))
    return bundles.pull(name, folder, what, progress=True, **which, **_only(action, _OF_PULL, options))


def _listed(bundles: Bundles, name: str | None, what: str) -> Any:
    if name is None:
        if what != "all":
            raise InvalidInputError(f"Of which bundle? Write: bundle ls NAME --what {what}.")
        return bundles.list()
    if "@" in name or what != "all":
        return bundles.get(name, what=what).table()
    return bundles.versions(name)


def _only(action: str, known: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    _refuse(action, None, {key: value for key, value in options.items() if key not in known})
    return {key: value for key, value in options.items() if key in known}


def _refuse(action: str, folder: str | None, options: dict[str, Any]) -> None:
    """Raise if something was said that the action does not take."""
    if folder is not None:
        raise InvalidInputError(f"{folder!r} is one word too many: {action} takes a name only.")
    said = [key for key, value in options.items() if value not in (None, False, "")]
    if said:
        raise InvalidInputError(f"{action} takes no --{said[0].replace('_', '-')}. Leave it out.")
