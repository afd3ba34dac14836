"""What a runner is given: while it loads, and while it runs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from workbench.schemas import DataSchema


class LoadContext(Protocol):
    """What ``load_assets`` reaches: the files of the algorithm and a log."""

    def fetch_asset(self, path: str) -> io.BytesIO: ...

    def log_message(self, message: str, level: str = "INFO") -> None: ...


class RunnerContext(LoadContext, Protocol):
    """What a run gives to its runner."""

    @property
    def device(self) -> str: ...

    @property
    def run_id(self) -> str: ...

    def fetch_data(
        self, refs: Sequence[str], schema: type[DataSchema], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]: ...

    def fetch_folder(self, ref: str) -> Path: ...

    def post_data(
        self, data: Sequence[dict[str, Any]], schema: type[DataSchema], parallel: bool = False
    ) -> list[str]: ...

    def set_progress(self, fraction: float, message: str = "") -> None: ...

    def save_item(self, obj: Any, key: str) -> None: ...

    def load_item(self, key: str) -> Any: ...

    def remove_item(self, key: str) -> None: ...
