"""BaseRunner: what an author of algorithms derives from, writes and calls; its life cycle is in ``lifecycle``."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from workbench.errors import InvalidInputError
from workbench.runners.context import RunnerContext
from workbench.runners.lifecycle import (
    Phase,
    Stage,
    State,
    call_init,
    current_run,
    drop,
    load_context,
    own_values,
    run_context,
)
from workbench.versions import Versioned

if TYPE_CHECKING:
    from workbench.schemas import DataSchema

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
NO_ARGS: dict[str, Any] = {}
_ROUNDING = 1e-9  # a sum of 1/n steps may end at 1.0000000000000002


class BaseRunner(Versioned, ABC):
    """Base of every algorithm's ``Runner``.

    Implement ``preprocess``, ``inference`` and ``postprocess``; load weights and tables in ``load_assets``. What
    ``load_assets`` sets on ``self`` is loaded once, shared by all later runs, and locked. Every other attribute belongs
    to one run: ``__init__`` is called again for each run (its writes to locked names are skipped), so concurrent runs
    never see each other's values. Changing a shared object in place (``self.table[0] = 1``) is seen by all runs.

    Class attributes that are a `VersionedField` or `VersionedDict` of ``workbench.versions`` count in the class's version.

    Examples
    --------
    >>> class Runner(BaseRunner):
    ...     def preprocess(self, input_data, args={}):
    ...         return self.fetch_data(input_data["input_dataset_ids"], GenericSchema, "data")
    ...
    ...     def inference(self, data, args={}):
    ...         return [{"data": item["data"] * args["gain"]} for item in data]
    ...
    ...     def postprocess(self, data, args={}):
    ...         return self.post_data(data, GenericSchema)
    """

    __slots__ = ("__dict__", "__weakref__", "_workbench_state")
    _workbench_state: State
    algorithm_type: ClassVar[str] = "Generic"

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        object.__setattr__(self, "_workbench_state", State())
        return self

    # -- life cycle ---------------------------------------------------------------------------------------------------

    def initialize(self, device: str | None = None) -> None:
        """Forget the attributes of this instance except the locked ones and call ``__init__`` again.

        Parameters
        ----------
        device : str, optional
            The new device; by default it stays.
        """
        state = self._workbench_state
        if device is not None:
            state.device = device
        drop(self, own_values(self).keys() - state.locked)
        stage, state.stage = state.stage, Stage.STARTING
        try:
            call_init(self)
        finally:
            state.stage = stage

    # -- what an algorithm implements ---------------------------------------------------------------------------------

    def load_assets(self) -> None:  # optional
        """Load what all runs share (weights, tables); called once. By default nothing."""

    @abstractmethod
    def preprocess(self, input_data: dict[str, Any], args: dict[str, Any] = NO_ARGS) -> Any:
        """Fetch and prepare the inputs.

        Parameters
        ----------
        input_data : dict
            ``{"input_dataset_ids": [id, ...]}``
        args : dict
            The parameters of the run, checked and with defaults filled in.

        Returns
        -------
        Any
            What ``inference`` gets.
        """

    @abstractmethod
    def inference(self, data: Any, args: dict[str, Any] = NO_ARGS) -> Any:
        """Compute; returns what ``postprocess`` gets."""

    @abstractmethod
    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store the results; returns the ids of the output datasets in order."""

    # -- running ------------------------------------------------------------------------------------------------------

    def preprocess_base(self, input_data: dict[str, Any], args: dict[str, Any] = NO_ARGS) -> Any:
        """Call ``preprocess`` as a phase of this run."""
        with Phase(self):
            return self.preprocess(input_data, args)

    def inference_base(self, data: Any, args: dict[str, Any] = NO_ARGS) -> Any:
        """Call ``inference`` as a phase of this run; data and args are passed by position."""
        with Phase(self):
            return self.inference(data, args)

    def postprocess_base(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Call ``postprocess`` as a phase of this run."""
        with Phase(self):
            return self.postprocess(data, args)

    def run(self, input_data: dict[str, Any], args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Call the three phases in a row and return the output ids."""
        return self.postprocess_base(self.inference_base(self.preprocess_base(input_data, args), args), args)

    # -- attributes ---------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        state = self._workbench_state
        if name in state.locked:
            if state.stage is not Stage.STARTING:
                raise AttributeError(_locked_message(self, name, "modified"))
        elif state.stage is Stage.SHARED:
            run = current_run(self)
            if run is None:
                raise AttributeError(_locked_message(self, name, "set once load_assets has returned"))
            setattr(run, name, value)
        else:
            super().__setattr__(name, value)
            if state.stage is Stage.LOADING:
                state.touched.add(name)

    def __delattr__(self, name: str) -> None:
        if name in self._workbench_state.locked:
            raise AttributeError(_locked_message(self, name, "deleted"))
        super().__delattr__(name)

    def __getattr__(self, name: str) -> Any:
        # Called for names that are not there. The second lookup raises the true error, also that of a property.
        run = self if name == "_workbench_state" else current_run(self)
        return object.__getattribute__(self if run is None else run, name)

    @property
    def device(self) -> str:
        """The compute device of this run: ``"cpu"``, ``"cuda"`` or ``"mps"``; read-only."""
        return self._workbench_state.device

    @device.setter
    def device(self, value: object) -> None:
        raise AttributeError(
            f"device is read-only; this run uses {self.device!r}. Choose it when you start the run: "
            f"ws.run(..., device={value!r})."
        )

    @property
    def task_handler(self) -> RunnerContext:
        """The context of this run, under the name that older algorithms use."""
        return run_context(self, "task_handler")

    @property
    def runner_context(self) -> dict[str, Any]:
        """The attributes of this run: all but those that ``load_assets`` set."""
        locked = self._workbench_state.locked
        return {name: value for name, value in own_values(self).items() if name not in locked}

    # -- data, assets, log, progress, session -------------------------------------------------------------------------

    def fetch_data(
        self,
        file_ids: str | Iterable[str],
        pydantic_data_schema: type[DataSchema],
        *keys: str,
        parallel: bool = False,
    ) -> list[dict[str, Any]]:
        """Read datasets.

        Parameters
        ----------
        file_ids : str or iterable of str
            Dataset ids (or names), as in ``input_data["input_dataset_ids"]``.
        pydantic_data_schema : type of DataSchema
            What they must look like, for example ``GenericSchema``.
        *keys : str
            Only these keys are read; a key that a dataset lacks is None. By default all.
        parallel : bool
            Read in several threads.

        Returns
        -------
        list of dict
            One dict of arrays per dataset, in the order of ``file_ids``.
        """
        refs = [file_ids] if isinstance(file_ids, str) else list(file_ids)
        return run_context(self, "fetch_data").fetch_data(
            refs, pydantic_data_schema, *keys, parallel=parallel
        )

    def fetch_folder(self, file_id: str) -> Path:
        """Return a bundle that was given as an input, as a folder.

        Parameters
        ----------
        file_id : str
            One of ``input_data["input_dataset_ids"]``.

        Returns
        -------
        Path
            A read-only folder with all files of that version. Other runs read it too: what is written goes elsewhere.

        Raises
        ------
        InvalidInputError
            If that input is no bundle.
        DamagedError
            If the store no longer has what was pushed.
        """
        return run_context(self, "fetch_folder").fetch_folder(file_id)

    def post_data(
        self, data: Iterable[dict[str, Any]], pydantic_data_schema: type[DataSchema], parallel: bool = False
    ) -> list[str]:
        """Store one dataset per dict and return the new ids in order."""
        items = [data] if isinstance(data, dict) else list(data)
        return run_context(self, "post_data").post_data(items, pydantic_data_schema, parallel=parallel)

    def fetch_asset(self, asset_path: str) -> io.BytesIO:
        """Return a file of the algorithm's folder, e.g. ``"files/weights.pth"``, as a stream of bytes."""
        return load_context(self, "fetch_asset").fetch_asset(asset_path)

    def log_message(self, message: object, logging_level: str = "INFO") -> None:
        """Write a line to the log of the run.

        Raises
        ------
        InvalidInputError
            If the level is none of DEBUG, INFO, WARNING, ERROR.
        """
        level = logging_level.upper() if isinstance(logging_level, str) else logging_level
        if level not in LOG_LEVELS:
            raise InvalidInputError(
                f"logging_level is {logging_level!r}, expected one of {', '.join(LOG_LEVELS)}."
            )
        load_context(self, "log_message").log_message(str(message), level)

    def set_progress(self, progress: float, message: str = "") -> None:
        """Say how far the run is.

        Parameters
        ----------
        progress : float
            0 (nothing yet) to 1 (done).
        message : str
            What is being done.

        Raises
        ------
        InvalidInputError
            If progress is no number from 0 to 1.
        """
        fraction = _fraction(progress)
        if self._workbench_state.load is None:  # progress belongs to a run, loading to none
            run_context(self, "set_progress").set_progress(fraction, message)

    def save_item_to_session(self, obj: Any, key: str) -> None:
        """Keep an object in the session of the run for later runs."""
        run_context(self, "save_item_to_session").save_item(obj, key)

    def load_item_from_session(self, key: str) -> Any:
        """Return an object that an earlier run kept; KeyError says why there is none."""
        return run_context(self, "load_item_from_session").load_item(key)

    def remove_item_from_session(self, key: str) -> None:
        """Remove an object from the session."""
        run_context(self, "remove_item_from_session").remove_item(key)


def _locked_message(runner: BaseRunner, name: str, what: str) -> str:
    if name in runner._workbench_state.locked:
        why = "it was set in load_assets, and all runs of this algorithm share it"
    else:
        why = "no run is under way"
    return (
        f"Attribute {name!r} of {type(runner).__name__} is locked and cannot be {what}: {why}. "
        "Use another name for values of one run."
    )


def _fraction(progress: object) -> float:
    try:
        if isinstance(progress, str | bytes):
            raise TypeError
        fraction = float(progress)  # type: ignore[arg-type]  # numbers of numpy and torch, too
    except (TypeError, ValueError):
        fraction = float("nan")
    if not -_ROUNDING <= fraction <= 1 + _ROUNDING:
        raise InvalidInputError(
            f"Progress is {progress!r}, expected a number from 0 to 1. "
            "Pass the share that is done, for example self.set_progress((i + 1) / n)."
        )
    return min(max(fraction, 0.0), 1.0)
