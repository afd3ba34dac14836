"""Is this installation and this workspace in order? ``workbench doctor``."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError
from workbench.models import now

if TYPE_CHECKING:
    from workbench.workspace import Workspace

_RECENT_DAYS = 7  # an older lost run was seen, or nobody waits for it
_MOST = 100
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``ok`` is None for what is worth a look and no fault of the installation."""

    what: str
    ok: bool | None
    text: str

    @property
    def mark(self) -> str:
        """What stands before it in a terminal."""
        return "-- " if self.ok is None else "ok " if self.ok else "!! "


def examine(url: str | None = None) -> Iterator[Finding]:
    """Look at Python, packages, devices and the workspace, cheapest first.

    Parameters
    ----------
    url : str, optional
        Workspace to look at; default: the one that ``workbench.open()`` would open.
    """
    yield Finding("python", True, platform.python_version())
    for package, use in {
        "torch": "algorithms with networks: pip install 'jupyter-workbench[torch]'",
        "astropy": "FITS files: pip install 'jupyter-workbench[fits]'",
        "psycopg": "PostgreSQL: pip install 'jupyter-workbench[postgres]'",
        "pandas": ".table() of listings: pip install pandas",
    }.items():
        there = importlib.util.find_spec(package) is not None
        yield Finding(package, True, "installed" if there else f"not installed; needed for {use}")
    yield Finding("git", True, "found" if shutil.which("git") else "not found; runs record no commit")
    from workbench.execution.devices import available_devices

    yield Finding("devices", True, ", ".join(sorted(available_devices())))
    from workbench.settings import default_url, load
    from workbench.workspace import open as open_workspace

    place = load({"url": url} if url else None)[0].url or default_url()
    if "://" not in place and not Path(place).expanduser().exists():
        yield Finding("workspace", True, f"{place} is not there yet; it is made when it is first opened")
        return
    try:
        workspace = open_workspace(url)
    except WorkbenchError as error:
        yield Finding("workspace", False, str(error))
        return
    with workspace:
        yield Finding("workspace", True, workspace.url)
        if workspace.store.is_local:
            folder = workspace.url.removeprefix("file://")
            yield Finding(
                "writable",
                os.access(folder, os.W_OK),
                "yes" if os.access(folder, os.W_OK) else "it can only be read",
            )
            free = shutil.disk_usage(workspace.url.removeprefix("file://")).free / 2**30
            yield Finding("disk", free > 1.0, f"{free:.1f} GiB free")
        yield _sessions(workspace)
        if workspace.store.is_shared:
            yield _host(workspace)
        yield _lost(workspace)
        yield _orphans(workspace)
        keys = (info.key for info in workspace.store.list("datasets"))
        stored = [key.removesuffix(".json") for key in keys if key.endswith(".json")]
        indexed = len(workspace.catalog.get_datasets(stored))
        text = f"{indexed} datasets indexed, {len(stored)} stored"
        yield Finding(
            "catalog",
            indexed == len(stored),
            text + ("" if indexed == len(stored) else "; run: workbench reindex"),
        )


def _lost(workspace: Workspace) -> Finding:
    """Lost runs are no fault of the workspace, and stay lost; but somebody waits for what they would have made."""
    recent = now() - timedelta(days=_RECENT_DAYS)
    lost = workspace.runs.list(status="LOST", limit=_MOST)
    new = [run.record for run in lost if (run.record.finished or run.record.created) >= recent]
    if not new:
        return Finding("lost runs", True, f"none in the last {_RECENT_DAYS} days")
    more = "+" if len(new) == _MOST else ""
    shown = ", ".join(f"{record.id} ({record.algorithm})" for record in new[:_SHOWN])
    rest = f" and {len(new) - _SHOWN}{more} more" if len(new) > _SHOWN else ""
    return Finding(
        "lost runs",
        None,
        f"{len(new)}{more} in the last {_RECENT_DAYS} days, whose process vanished: {shown}{rest}. They made nothing: see why "
        f"(workbench jobs {new[0].id}) and start them again; all: workbench jobs --status LOST",
    )


def _orphans(workspace: Workspace) -> Finding:
    found = workspace.links.orphans()
    if not found:
        return Finding("unused states", True, "none")
    size = sum(info.size for info in found) / 1e6
    text = f"{len(found)} ({size:.1f} MB) were left by killed processes; remove: workbench gc --delete"
    return Finding("unused states", None, text)


def _sessions(workspace: Workspace) -> Finding:
    from workbench.sessions.listing import size_text

    try:
        place = workspace.sessions.place
    except WorkbenchError as error:
        return Finding("sessions", False, str(error))
    kind = "in memory" if place.in_memory else "on a disk"
    more = f"; then {size_text(place.spill_quota)} in {place.spill}" if place.spill is not None else ""
    return Finding("sessions", True, f"{size_text(place.quota)} {kind}, in {place.folder}{more}")


def _host(workspace: Workspace) -> Finding:
    from workbench.commands.host import host_status, host_text

    try:
        return Finding("run host", True, host_text(host_status(workspace)))
    except WorkbenchError as error:
        return Finding("run host", False, str(error))
