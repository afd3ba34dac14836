"""The peers of the benchmarks: how each does what ours does, with its own defaults unless a comment says why not.

Each function imports its package first, so that ``contest.peer(name)`` leaves out by name what is not installed.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class RunCatalog(NamedTuple):
    """Record one run, from its parameters and whether it is good; count a page of failed ones, at most 50."""

    record: Callable[[dict[str, Any], bool], object]
    failed: Callable[[], int]


class ArrayFile(NamedTuple):
    """Write a stack, read it, read one slice of it."""

    write: Callable[[Path, np.ndarray], object]
    read: Callable[[Path], np.ndarray]
    one: Callable[[Path, int], np.ndarray]


def zarr(**options: Any) -> ArrayFile:
    """A stack in a zarr group; options are those of ``create_array``."""
    import zarr

    def write(path: Path, array: np.ndarray) -> None:
        made = zarr.open_group(path, mode="w").create_array(
            "image", shape=array.shape, dtype=array.dtype, **options
        )
        made[...] = array

    def read(path: Path, index: Any = ...) -> np.ndarray:
        return np.asarray(zarr.open_group(path, mode="r")["image"][index])

    return ArrayFile(write, read, read)


def mlflow(folder: Path) -> RunCatalog:
    """Runs in MLflow's SQLite store: one batch for parameters, one call for the end, as its clients do."""
    import logging

    from mlflow.entities import Param
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow.store.db.utils"):  # a line for each migration
        logging.getLogger(name).setLevel(logging.WARNING)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.sqlite'}")
    experiment = client.create_experiment("bench")

    def record(parameters: dict[str, Any], is_good: bool) -> None:
        run = client.create_run(experiment).info.run_id
        client.log_batch(run, params=[Param(name, str(value)) for name, value in parameters.items()])
        client.set_terminated(run, "FINISHED" if is_good else "FAILED")

    def failed() -> int:
        return len(client.search_runs([experiment], "attributes.status = 'FAILED'", max_results=50))

    return RunCatalog(record, failed)


def mlflow_metrics(
    folder: Path,
) -> tuple[Callable[[dict[str, Any]], object], Callable[[float], int], Callable[[float], float]]:
    """Runs with metrics in MLflow's SQLite store; found by a range of one metric, a page of 50."""
    import logging
    import time

    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow-metrics.sqlite'}")
    experiment = client.create_experiment("bench")

    def add(metadata: dict[str, Any]) -> None:
        run = client.create_run(experiment).info.run_id
        moment = int(time.time() * 1e3)
        metrics = [Metric(k, float(v), moment, 0) for k, v in metadata.items() if not isinstance(v, str)]
        params = [Param(k, v) for k, v in metadata.items() if isinstance(v, str)]
        client.log_batch(run, metrics=metrics, params=params)
        client.set_terminated(run)

    def below(bound: float) -> list[Any]:
        return list(client.search_runs([experiment], f"metrics.val_error < {bound}", max_results=50))

    return (
        add,
        lambda bound: len(below(bound)),
        lambda bound: sum(run.data.metrics["val_error"] for run in below(bound)),
    )


def kosh(folder: Path) -> RunCatalog:
    """Runs as datasets of a Kosh store on SQLite, found by their metadata."""
    import itertools

    import kosh

    store = kosh.connect(str(folder / "kosh.sqlite"))
    # its answer is lazy and has no order and no limit: the first 50 that come
    return RunCatalog(
        lambda parameters, is_good: store.create(
            metadata={**parameters, "status": "FINISHED" if is_good else "FAILED"}
        ),
        lambda: len(list(itertools.islice(store.find(status="FAILED"), 50))),
    )


def kosh_files(
    folder: Path, file: Path
) -> tuple[Callable[[dict[str, Any]], object], Callable[[float], int], Callable[[float], float]]:
    """Files with metadata as datasets of a Kosh store; found by a range of one key, the first 50 that come."""
    import itertools

    import kosh
    from sina.utils import DataRange

    store = kosh.connect(str(folder / "kosh-files.sqlite"))

    def add(metadata: dict[str, Any]) -> None:
        store.create(metadata=metadata).associate(str(file), "hdf5", absolute_path=True)

    def below(bound: float) -> list[Any]:
        return list(itertools.islice(store.find(val_error=DataRange(max=bound)), 50))

    return (
        add,
        lambda bound: len(below(bound)),
        lambda bound: sum(dataset.val_error for dataset in below(bound)),
    )


# -- Compox -----------------------------------------------------------------------------------------------------------


def compox_store() -> Any:
    """Compox's in-memory store, with its collections.

    As shipped (3.2.0) its deployer asks the items of ``list_objects`` for ``["Key"]``, which only the S3 store's have.
    """
    from compox.database_connection.InMemoryConnection import InMemoryConnection
    from loguru import logger

    class Mended(InMemoryConnection):  # type: ignore[misc]
        def list_objects(self, collection_name: str) -> list[Any]:
            return [{"Key": name} for name in super().list_objects(collection_name)]

    logger.remove()
    store = Mended()
    store.create_collections(
        ["data-store", "execution-store", "algorithm-store", "module-store", "asset-store", "training-store", "sample-store",
         "algorithm-checkpoint-store", "stop-requests", "deploy-store", "system-store", "benchmark-store"]
    )  # fmt: skip
    return store


def compox_data() -> tuple[
    Callable[[np.ndarray], list[str]], Callable[[list[str]], Any], Callable[[list[str]], Any]
]:
    """Post, fetch and delete one dataset in memory, as a Runner does."""
    from compox.algorithm_utils.io_schemas import GenericSchema
    from compox.tasks.TaskHandler import TaskHandler

    store = compox_store()
    task = TaskHandler("bench", store, database_update=False)
    return (
        lambda array: task.post_data([{"data": array}], GenericSchema),
        lambda ids: task.fetch_data(ids, GenericSchema),
        lambda ids: store.delete_objects("data-store", ids),
    )


def compox_debug(folder: Path) -> Callable[[], object]:
    """A run in Compox's debug session: in this process, nothing recorded."""
    from compox.tasks.DebuggingTaskHandler import DebuggingTaskHandler
    from loguru import logger

    logger.remove()  # a line per step on the terminal is not what is measured
    runner = DebuggingTaskHandler("bench").fetch_algorithm(str(folder))

    def run() -> None:
        DebuggingTaskHandler("bench").set_as_current_handler()  # one handler, one run
        runner.run({"input_dataset_ids": []}, {})

    return run


@contextmanager
def compox_server(algorithm: Path, scratch: Path) -> Iterator[Callable[[], object]]:
    """Give a function that does one run on a Compox server in a thread: from POST to COMPLETED, records in memory."""
    os.environ["COMPOX_DISABLE_CLI"] = "1"  # else importing its server reads our command line
    import compox.components.api_builder as api_builder
    import requests
    from compox.algorithm_utils.deployment_utils import deploy_algorithm_from_folder
    from compox.components.server_builder import build_server
    from compox.config.server_settings import get_server_settings

    store = compox_store()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings_file = scratch / "compox.yaml"
    settings_file.write_text(
        f"port: {port}\nlog_path: {scratch / 'compox.log'}\n"
        f"storage: {{backend_settings: {{provider: minio, storage_path: {scratch / 'compox'}}}}}\n"  # else where we stand
    )
    with contextlib.redirect_stdout(io.StringIO()):  # both print
        settings = get_server_settings(str(settings_file), verbose=False)
        deploy_algorithm_from_folder(str(algorithm), store)
    api_builder.build_database_connection = lambda settings: store  # its settings know no mended store
    server = build_server(api_builder.build_api(settings, with_lifespan=False), settings, disable_logger=True)
    algorithm_id = store.list_objects("algorithm-store")[0]["Key"].split("~")[0]
    address = f"http://127.0.0.1:{port}/api/v0"
    order = {"algorithm_id": algorithm_id, "input_dataset_ids": [], "additional_parameters": {}}

    with server.run_in_thread(disable_logger=True), requests.Session() as http:

        def run() -> None:
            answer = http.post(f"{address}/execute-algorithm", json=order)
            answer.raise_for_status()
            execution = f"{address}/executions/{answer.json()['execution_id']}"
            while (status := http.get(execution).json()["status"]) != "COMPLETED":
                if status == "FAILED":
                    raise RuntimeError(f"the run failed: {http.get(execution).json()['log'][-300:]}")
                time.sleep(0.001)  # it tells nobody: its clients ask again and again

        yield run


def compox_folder(folder: Path, code: str) -> Path:
    """Return a folder that Compox deploys, of a Runner that does nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "Runner.py").write_text(
        textwrap.dedent(code).replace(
            "from workbench.runners import", "from compox.algorithm_utils.BaseRunner import"
        )
    )
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "noop"\nversion = "1.0.0"\n[tool.compox]\nalgorithm_type = "Generic"\ntags = ["bench"]\n'
        'description = "Does nothing"\nsupported_devices = ["cpu"]\ndefault_device = "cpu"\nadditional_parameters = []\n'
        "check_importable = false\nobfuscate = true\nhash_module = true\nhash_assets = true\n"
    )
    return folder
