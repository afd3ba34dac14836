"""A RunnerContext over dicts, for tests of runners without a workspace: real arrays, real schemas."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from workbench import schemas
from workbench.runners import BaseRunner, for_run, load


class DictContext:
    """Datasets, assets, log, progress and session items of one run."""

    def __init__(self, assets: Mapping[str, bytes] = {}, device: str = "cpu", run_id: str = "run") -> None:
        self.device = device
        self.run_id = run_id
        self.assets = dict(assets)
        self.datasets: dict[str, dict[str, Any]] = {}
        self.session: dict[str, Any] = {}
        self.log: list[tuple[str, str]] = []
        self.progress: list[float] = []
        self._numbers = itertools.count(1)

    def put(self, **arrays: Any) -> str:
        dataset_id = f"{self.run_id}-{next(self._numbers)}"
        self.datasets[dataset_id] = arrays
        return dataset_id

    def fetch_data(
        self, refs: Sequence[str], schema: type[schemas.DataSchema], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]:
        def fetch(ref: str) -> dict[str, Any]:
            stored = self.datasets[ref]
            data = {key: stored.get(key) for key in keys} if keys else stored
            schemas.validate(schema, data, keys)
            return dict(data)

        if not parallel:
            return [fetch(ref) for ref in refs]
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(fetch, refs))

    def post_data(
        self, data: Sequence[dict[str, Any]], schema: type[schemas.DataSchema], parallel: bool = False
    ) -> list[str]:
        return [self.put(**schemas.validate(schema, item)) for item in data]

    def fetch_asset(self, path: str) -> io.BytesIO:
        return io.BytesIO(self.assets[path])

    def log_message(self, message: str, level: str = "INFO") -> None:
        self.log.append((level, message))

    def set_progress(self, fraction: float, message: str = "") -> None:
        self.progress.append(fraction)

    def save_item(self, obj: Any, key: str) -> None:
        self.session[key] = obj

    def load_item(self, key: str) -> Any:
        return self.session[key]

    def remove_item(self, key: str) -> None:
        del self.session[key]


def run(
    runner_class: type[BaseRunner],
    images: Sequence[np.ndarray] = (),
    args: dict[str, Any] | None = None,
    key: str = "image",
    assets: Mapping[str, bytes] = {},
) -> tuple[list[Any], DictContext]:
    """Load and run a class on arrays; return what postprocess gave (datasets where it gave ids) and the context."""
    context = DictContext(assets)
    ids = [context.put(**{key: image}) for image in images]
    runner = for_run(load(runner_class, context), context)
    outputs = runner.run({"input_dataset_ids": ids}, args or {})
    return [context.datasets.get(output, output) for output in outputs], context
