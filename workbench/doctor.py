"""Is this installation and this workspace in order? ``workbench doctor``."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str


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
        lost = workspace.runs.list(status="LOST", limit=100)
        yield Finding(
            "lost runs", True, f"{len(lost)}{'+' if lost.has_more else ''} runs whose process vanished"
        )
        keys = (info.key for info in workspace.store.list("datasets"))
        stored = [key.removesuffix(".json") for key in keys if key.endswith(".json")]
        indexed = len(workspace.catalog.get_datasets(stored))
        text = f"{indexed} datasets indexed, {len(stored)} stored"
        yield Finding(
            "catalog",
            indexed == len(stored),
            text + ("" if indexed == len(stored) else "; run: workbench reindex"),
        )


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
