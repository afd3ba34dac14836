"""What is still needed is not deleted: who needs it is asked of the catalog, and named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from workbench.errors import InUseError

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.catalog.referrers import Referrer

MOST = 50  # users of each kind that are looked for
_SHOWN = 5  # that a message names


def users_of(catalog: Catalog, ids: Sequence[str], apart_from: Collection[str] = ()) -> list[Referrer]:
    """Return who read these datasets or entries, or names them, or runs or bundles, as what it was made from.

    Parameters
    ----------
    catalog : Catalog
    ids : sequence of str
    apart_from : collection of str
        Ids of what is deleted together with them.
    """
    going = {*apart_from, *ids}
    found = [user for id_ in ids for user in catalog.referrers(id_, MOST + len(going))]
    return [user for user in dict.fromkeys(found) if user.id not in going]


def refuse_if_used(what: str, users: Sequence[Referrer], remedy: str) -> None:
    """Raise if there are users.

    Parameters
    ----------
    what : str
        What people call that which they use.
    users : sequence of Referrer
    remedy : str
        The call that deletes it nevertheless.

    Raises
    ------
    InUseError
        With their ids in ``.users``.
    """
    if not users:
        return
    named = [
        f"{user.kind} {user.label} ({user.id})" if user.label else f"{user.kind} {user.id}"
        for user in _of_each_kind(users)[:_SHOWN]
    ]
    more = " and more" if len(users) > _SHOWN else ""
    raise InUseError(
        f"{what} is still needed by {', '.join(named)}{more}. Nothing was deleted. "
        f"To delete it nevertheless: {remedy}.",
        users=tuple(user.id for user in users),
    )


def _of_each_kind(users: Sequence[Referrer]) -> list[Referrer]:
    """Return the first of each kind, then the second ones: many runs do not hide the one entry."""
    kinds = [user.kind for user in users]
    ranks = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
    return [user for _, user in sorted(zip(ranks, users, strict=True), key=lambda ranked: ranked[0])]
