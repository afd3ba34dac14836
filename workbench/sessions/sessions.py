"""Sessions: all sessions of a workspace."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import shutil
import socket
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import NotFoundError, StorageError, did_you_mean
from workbench.models import SessionRecord, now
from workbench.names import check_name, new_id
from workbench.pages import Page
from workbench.sessions.cache import SegmentCache
from workbench.sessions.ground import Ground
from workbench.sessions.listing import SessionInfo, session_row, time_of
from workbench.sessions.place import Place, choose_place, scope_name
from workbench.sessions.reasons import Reason, note
from workbench.sessions.room import CACHE, Room
from workbench.sessions.session import Session
from workbench.sessions.workfolder import WorkFolder, sweep

if TYPE_CHECKING:
    from workbench.settings import Settings
    from workbench.storage.store import Store

COLLECTION = "sessions"
SWEEP_S = 600.0
PRIVATE = "m-"  # begins the folder of a workspace that lives in one process
YOUNG_S = 60.0


class Sessions:
    """Lists, opens and drops sessions: ``ws.sessions``.

    Parameters
    ----------
    settings : Settings
        ``session_folder`` and its kin: where items live and how many.
    url : str
        Of the workspace; two workspaces never share a session.
    store : Store, optional
        Keeps the names of sessions, never their items.
    is_shared : bool
        False for a workspace that other processes cannot open: its sessions end with it.
    """

    def __init__(
        self, settings: Settings, url: str, store: Store | None = None, *, is_shared: bool = True
    ) -> None:
        self._settings = settings
        self._store = store
        place = choose_place(settings)
        scope = scope_name(url)
        self._is_private = not is_shared
        if self._is_private:
            scope = f"{PRIVATE}{os.getpid()}-{scope}"
        for folder in (place.folder, place.spill):
            if folder is not None:
                _sweep(folder, scope)
        self._ground = Ground(place, scope)
        if self._is_private:
            self._ground.work.path  # noqa: B018 - made now: it says that somebody has the workspace open
        self._room = Room(self._ground, settings.session_items, settings.session_bytes)
        self._open: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()
        self._lock = threading.RLock()
        self._swept = 0.0
        self._sweep_orphans()

    @property
    def place(self) -> Place:
        """The folders of this user for session items, with their quotas."""
        return self._ground.place

    @property
    def folder(self) -> Path:
        """Where the items of this workspace are."""
        return self._ground.root

    @property
    def nbytes(self) -> int:
        """Bytes that the items of all sessions take."""
        return sum(self._ground.totals.used())

    @property
    def cache(self) -> SegmentCache:
        """Bytes by key on the same memory, for what can be had again from elsewhere."""
        return SegmentCache(self._ground, self._room)

    def list(self) -> Page[SessionInfo]:
        """Return all sessions, the one used last first."""
        self._expire()
        found = [info for name in self.names() if (info := self._info(name)) is not None]
        found.sort(key=lambda info: info.used, reverse=True)
        return Page(
            found,
            session_row,
            None,
            "sessions",
            "Make one: ws.session('tuning'), or work in one: %algorun -s tuning.",
        )

    def names(self) -> builtins.list[str]:
        """Return the names of all sessions."""
        return sorted(e.name for e in os.scandir(self._ground.root / "names"))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.names()

    def open(self, name: str) -> Session:
        """Return the session of this name; it is made if there is none.

        Raises
        ------
        InvalidNameError
        """
        check_name(name, "Session name")
        with self._lock:
            self._expire()
            found = self._open.get(name)
            if found is not None and found.token == self._token(name):
                return found
            session = self._begin(name)
            self._open[name] = session
            return session

    def get(self, name: str) -> Session:
        """Return the session of this name.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        check_name(name, "Session name")
        self._expire()
        if self._token(name) is None:
            raise self._unknown(name)
        return self.open(name)

    def drop(self, name: str) -> None:
        """Remove a session with all its items, also one that is open somewhere.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        check_name(name, "Session name")
        token = self._token(name)
        if token is None or not self._remove(
            name, token, Reason("dropped", time.time(), f"by process {os.getpid()}")
        ):
            raise self._unknown(name)
        self._forget_name(name)

    def close(self) -> None:
        """Let go of memory and folders that only this process uses; items stay, unless the workspace lives in this process."""
        with self._lock:
            for session in list(self._open.values()):
                session.close()
            self._open.clear()
            self._ground.close()
            if self._is_private and not os.listdir(self._ground.root / "work"):
                for folder in (self._ground.root, self._ground.spill):
                    if folder is not None:
                        shutil.rmtree(folder, ignore_errors=True)

    # -- how

    def _token(self, name: str) -> str | None:
        try:
            return (self._ground.root / "names" / name).read_text()
        except FileNotFoundError:
            return None

    def _begin(self, name: str) -> Session:
        """Find or make a session; two processes make one."""
        ground = self._ground
        while True:
            record = None
            is_new = False
            with ground.totals.lock:
                token = self._token(name)
                if token is None:
                    record, is_new = self._make(name), True
                else:
                    try:
                        record = SessionRecord.model_validate_json(
                            (ground.session(token) / "about.json").read_bytes()
                        )
                    except (FileNotFoundError, ValueError):  # half removed, or damaged
                        (ground.root / "names" / name).unlink(missing_ok=True)
                        continue
                session = Session(ground, self._room, record, self._drop)
            if is_new:
                self._remember(record)
            return session

    def _make(self, name: str) -> SessionRecord:
        ground = self._ground
        record = SessionRecord(name=name, token=new_id(), created=now(), host=socket.gethostname())
        folder = ground.session(record.token)
        (folder / "items").mkdir(mode=0o700, parents=True)
        (folder / "about.json").write_text(record.to_json())
        gone = ground.root / "gone" / name
        try:
            what, when, detail = json.loads(gone.read_bytes())
            note(f"{folder}/reasons", None, Reason(what, when, detail))
            gone.unlink()
        except FileNotFoundError:
            earlier = self._earlier(name)
            if earlier is not None and earlier.host == record.host:
                detail = f"made {earlier.created.astimezone():%Y-%m-%d %H:%M}"
                note(f"{folder}/reasons", None, Reason("vanished", time.time(), detail))
        temporary = Path(ground.work.new_name())
        temporary.write_text(record.token)
        temporary.rename(ground.root / "names" / name)
        return record

    def _remember(self, record: SessionRecord) -> None:
        """Keep the session's name in the store; a place that can only be read goes without."""
        if self._store is None:
            return
        try:
            self._store.create_collections([COLLECTION])
            self._store.put(COLLECTION, f"{record.name}.json", record.to_json())
        except StorageError:
            pass

    def _earlier(self, name: str) -> SessionRecord | None:
        """Return what the store knows of a session of this name that is not here."""
        if self._store is None:
            return None
        try:
            return SessionRecord.model_validate_json(self._store.get(COLLECTION, f"{name}.json"))
        except (NotFoundError, StorageError, ValueError):
            return None

    def _drop(self, session: Session) -> None:
        self._remove(session.name, session.token, Reason("dropped", time.time(), f"by process {os.getpid()}"))
        self._forget_name(session.name)

    def _forget_name(self, name: str) -> None:
        if self._store is not None:
            with contextlib.suppress(StorageError, NotFoundError):  # one that can only be read never got it
                self._store.delete(COLLECTION, [f"{name}.json"])

    def _remove(self, name: str, token: str, why: Reason, *, unless_used_since: float | None = None) -> bool:
        ground = self._ground
        folder = ground.session(token)
        trash = []
        with ground.totals.changing_sessions():
            if self._token(name) != token:
                return False
            if unless_used_since is not None:
                try:
                    used = (folder / "about.json").stat().st_mtime
                except FileNotFoundError:
                    used = 0.0
                if used > unless_used_since or ground.in_use(token):
                    return False
            (ground.root / "gone" / name).write_text(json.dumps([why.what, why.when, why.detail]))
            (ground.root / "names" / name).unlink(missing_ok=True)
            for source, work in ((folder, ground.work), (ground.spill, ground.spill_work)):
                if source is None or work is None:
                    continue
                if source == ground.spill:
                    source = source / "sessions" / token
                if source.is_dir():
                    trash.append(Path(work.new_name()))
                    source.rename(trash[-1])
        for each in trash:
            shutil.rmtree(each, ignore_errors=True)
        self._room.forget(token)
        ground.pool.tidy()
        return True

    def _orphans(self) -> builtins.list[tuple[Path, WorkFolder]]:
        """Return the folders of sessions that have no name: their process died while it made or dropped them."""
        ground = self._ground
        known = {CACHE, *(self._token(name) for name in self.names())}
        found = []
        for root, work in ((ground.root, ground.work), (ground.spill, ground.spill_work)):
            if root is not None and work is not None:
                found += [(Path(e.path), work) for e in os.scandir(root / "sessions") if e.name not in known]
        return found

    def _sweep_orphans(self) -> None:
        if not self._orphans():
            return
        trash = []
        with self._ground.totals.changing_sessions():
            for folder, work in self._orphans():  # again: under the lock none is just being made
                trash.append(Path(work.new_name()))
                folder.rename(trash[-1])
        for each in trash:
            shutil.rmtree(each, ignore_errors=True)

    def _expire(self) -> None:
        """Remove sessions that nobody used for long; looked for now and then."""
        hours = self._settings.session_hours
        if hours is None or time.monotonic() - self._swept < min(SWEEP_S, hours * 360):
            return
        self._swept = time.monotonic()
        self._sweep_orphans()
        before = time.time() - hours * 3600
        for name in self.names():
            token = self._token(name)
            if token is None:
                continue
            try:
                used = (self._ground.session(token) / "about.json").stat().st_mtime
            except FileNotFoundError:
                used = 0.0
            if used < before:
                self._remove(
                    name, token, Reason("expired", time.time(), f"{hours:g}"), unless_used_since=before
                )

    def _info(self, name: str) -> SessionInfo | None:
        token = self._token(name)
        if token is None:
            return None
        about = self._ground.session(token) / "about.json"
        try:
            record = SessionRecord.model_validate_json(about.read_bytes())
            used = about.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None
        counts = self._ground.totals.of(token)
        return SessionInfo(
            name=name,
            token=token,
            items=counts.items + counts.spilled_items,
            nbytes=counts.nbytes,
            spilled_bytes=counts.spilled_bytes,
            created=record.created,
            used=time_of(used),
            in_use=self._ground.in_use(token),
        )

    def _unknown(self, name: str) -> NotFoundError:
        known = self.names()
        return NotFoundError(
            f"There is no session {name!r}.{did_you_mean(name, known)} See ws.sessions.list() or %algosession; "
            f"ws.session({name!r}) makes one."
        )


def _sweep(folder: Path, own: str) -> None:
    """Delete what processes that died have left in the folders of all workspaces."""
    try:
        scopes = [Path(e.path) for e in os.scandir(folder)]
    except OSError as error:
        warnings.warn(f"{folder} cannot be listed: {error}", stacklevel=3)
        return
    for scope in scopes:
        sweep(scope / "work")
        if scope.name.startswith(PRIVATE):
            try:  # one of our own name and number was left by a process that had the same number before us
                is_old = scope.name == own or time.time() - scope.stat().st_mtime > YOUNG_S
                if is_old and not os.listdir(scope / "work"):
                    shutil.rmtree(scope, ignore_errors=True)
            except OSError:
                continue
