"""Making room: what is used least recently goes to disk before it goes away, and never from a session that is in use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from workbench.errors import StorageFullError
from workbench.sessions.ground import Ground, Item, is_same
from workbench.sessions.keys import key_of
from workbench.sessions.reasons import Reason
from workbench.sessions.segments import read_meta
from workbench.sessions.totals import Counts

CACHE = "cache"  # in the place of a session's token: what can be had again from elsewhere


class LeastRecent:
    """Items in the order of their last use, each checked when it is taken.

    One listing serves many evictions: an item that was used since is passed over, and every new one is newer than all of the
    list. So a full session costs a listing now and then, and not one for each put.
    """

    def __init__(
        self, scan: Callable[[], Iterable[Item]], order: Callable[[Item], tuple[object, ...]]
    ) -> None:
        self._scan = scan
        self._order = order
        self._items: list[Item] = []

    def take(self, keep: tuple[str, str] | None = None) -> Item | None:
        """Return the item to go next, or None if there is none; ``keep`` (token, name) stays."""
        for attempt in range(2):
            while self._items:
                item = self._items.pop()
                if (item.token, item.name) != keep and is_same(item):
                    return item
            if attempt == 0:
                self._items = sorted(self._scan(), key=self._order, reverse=True)
        return None


class Room:
    """Keeps sessions within their limits, and all of them together within the quotas.

    Parameters
    ----------
    ground : Ground
    max_items, max_bytes : int, optional
        Of one session.
    """

    def __init__(self, ground: Ground, max_items: int | None, max_bytes: int | None) -> None:
        self._ground = ground
        self.max_items = max_items
        self.max_bytes = max_bytes
        self._own: dict[str, LeastRecent] = {}

    # -- of one session

    def check(self, session: str, key: str, size: int) -> None:
        """Refuse an item that is larger than its session may be.

        Raises
        ------
        StorageFullError
        """
        if self.max_bytes is not None and size > self.max_bytes:
            raise StorageFullError(
                f"Item {key[:80]!r} has {size} bytes, session {session!r} may have {self.max_bytes} in all. "
                "Nothing was stored. Raise the setting session_bytes, or keep it as a dataset: ws.datasets.put."
            )

    def keep_limits(self, token: str, name: str, counts: Counts) -> None:
        """Let the least recently used items of a session go until it is within its limits; not the one just put."""
        while True:
            items, nbytes = counts.items + counts.spilled_items, counts.nbytes + counts.spilled_bytes
            if self.max_items is not None and items > self.max_items:
                why = Reason("items", time.time(), str(self.max_items))
            elif self.max_bytes is not None and nbytes > self.max_bytes:
                why = Reason("bytes", time.time(), str(self.max_bytes))
            else:
                return
            order = self._own.get(token)
            if order is None:
                order = self._own[token] = LeastRecent(
                    lambda: self._of((token,)), lambda item: (item.used_ns,)
                )
            victim = order.take(keep=(token, name))
            if victim is None:
                return
            self._ground.remove([victim], why, [_key(victim)])
            counts = self._ground.totals.of(token)

    def forget(self, token: str) -> None:
        """Forget what is known of a session."""
        self._own.pop(token, None)

    # -- of all sessions

    def make(self, token: str, size: int, name: str | None = None) -> bool:
        """Make room for a number of bytes on the place; return False if it cannot be made without a loss that is forbidden.

        Parameters
        ----------
        name : str, optional
            File name of the item that they will replace: its own bytes count as free.
        """
        ground = self._ground
        if size > ground.place.quota:
            return False

        def lacks_room() -> bool:
            used = ground.totals.used()[0]
            if used + size <= ground.place.quota:
                return False
            old = ground.find(token, name) if name is not None else None
            return used + size - (old.size if old is not None and not old.spilled else 0) > ground.place.quota

        order: LeastRecent | None = None
        while lacks_room():
            order = order or self._everything(spilled=False)
            victim = order.take(keep=(token, name or ""))
            if victim is None or (token == CACHE and victim.token != CACHE):
                return False
            if not self._to_disk(victim, token):
                self._let_go(victim, token)
        return True

    def free_place(self, token: str, size: int) -> bool:
        """Give back memory that the system says is not there, whatever the quota says; return whether anything was."""
        if self._ground.pool.clear():
            return True
        order = self._everything(spilled=False)
        freed = 0
        while freed < size and (victim := order.take()) is not None:
            if self._to_disk(victim, token) or self._let_go(victim, token):
                freed += victim.size
        return freed > 0

    def make_on_disk(self, token: str, size: int) -> bool:
        """Make room on the spill disk; return False if it cannot be made, or there is none."""
        ground = self._ground
        if ground.spill is None or size > ground.place.spill_quota:
            return False
        order: LeastRecent | None = None
        while ground.totals.used()[1] + size > ground.place.spill_quota:
            order = order or self._everything(spilled=True)
            victim = order.take()
            if victim is None:
                return False
            self._let_go(victim, token)
        return True

    def _to_disk(self, item: Item, token: str) -> bool:
        if item.token == CACHE:
            return False
        return self.make_on_disk(token, item.size) and self._ground.move_to_disk(item)

    def _let_go(self, item: Item, token: str) -> bool:
        """Remove an item for good, unless its session is in use."""
        if item.token == CACHE:
            return self._ground.remove([item], None) > 0
        if item.token == token or self._ground.in_use(item.token):
            return False
        place = self._ground.place
        limit = place.spill_quota if item.spilled else place.quota
        return self._ground.remove([item], Reason("quota", time.time(), str(limit)), [_key(item)]) > 0

    def _everything(self, *, spilled: bool) -> LeastRecent:
        """Return all items: first the cache, then those of sessions that are not in use."""
        ground = self._ground
        tokens = ground.totals.sessions()
        used = {token: int(ground.in_use(token)) for token in tokens} | {CACHE: -1}
        return _Once(
            ground.items(tokens, spilled=spilled), lambda item: (used.get(item.token, 1), item.used_ns)
        )

    def _of(self, tokens: tuple[str, ...]) -> Iterable[Item]:
        yield from self._ground.items(tokens, spilled=False)
        yield from self._ground.items(tokens, spilled=True)


class _Once(LeastRecent):
    """Items that are listed once: what could not go then cannot go now."""

    def __init__(self, items: Iterable[Item], order: Callable[[Item], tuple[object, ...]]) -> None:
        super().__init__(lambda: (), order)
        self._items = sorted(items, key=order, reverse=True)


def _key(item: Item) -> str:
    key = key_of(item.name)
    if key is None:
        import json

        try:
            key = str(json.loads(read_meta(item.path)[1])["key"])
        except (OSError, ValueError, KeyError):
            key = item.name
    return key
