"""BaseRunner: the class in every algorithm, and what a run gives to it.

Life cycle. ``_load`` makes one *shared* instance per algorithm version and device and calls its ``load_assets`` once.
``_for_run`` makes one instance per run that starts with references to what ``load_assets`` set (shared, locked) and then
calls ``__init__`` again for everything else. Since each run has an instance of its own, ``self`` reaches the right run from
every thread that the algorithm starts.

Objects made in ``load_assets`` may keep the shared instance, as in ``Tiler(on_tile=self.set_progress)``. Used during a
run, it stands for that run: the one of the calling context, else the only one under way.
"""

from __future__ import annotations

import io
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from workbench.errors import InvalidInputError

if TYPE_CHECKING:
    from workbench.schemas import DataSchema

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PHASES = ("preprocess", "inference", "postprocess")
NO_ARGS: dict[str, Any] = {}
_ROUNDING = 1e-9  # a sum of 1/n steps may end at 1.0000000000000002


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

    def post_data(
        self, data: Sequence[dict[str, Any]], schema: type[DataSchema], parallel: bool = False
    ) -> list[str]: ...

    def set_progress(self, fraction: float, message: str = "") -> None: ...

    def save_item(self, obj: Any, key: str) -> None: ...

    def load_item(self, key: str) -> Any: ...

    def remove_item(self, key: str) -> None: ...


class _Stage(Enum):
    BY_HAND = "by hand"  # Runner() written by someone: attached to nothing, nothing is locked
    LOADING = "load_assets"
    SHARED = "shared"
    STARTING = "__init__ of a run"
    RUNNING = "run"


class _State:
    """What an instance knows about its place in the life cycle; apart from the attributes of the algorithm."""

    def __init__(self, device: str = "cpu") -> None:
        self.stage = _Stage.BY_HAND
        self.device = device
        self.locked: frozenset[str] = frozenset()
        self.touched: set[str] = set()  # names assigned while loading
        self.load: LoadContext | None = None
        self.run: RunnerContext | None = None
        self.shared: BaseRunner | None = None
        self.under_way: list[BaseRunner] = []  # of a shared instance: runs inside a phase
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # A runner sent to another process (Pool.map(self.work, ...)) keeps its values, not its run.
        return _State, (self.device,)


_in_phase: ContextVar[BaseRunner | None] = ContextVar("workbench_runner_in_phase", default=None)


class BaseRunner(ABC):
    """Base of every algorithm's ``Runner``.

    Implement ``preprocess``, ``inference`` and ``postprocess``; load weights and tables in ``load_assets``. What
    ``load_assets`` sets on ``self`` is loaded once, shared by all later runs, and locked. Every other attribute belongs
    to one run: ``__init__`` is called again for each run (its writes to locked names are skipped), so concurrent runs
    never see each other's values. Changing a shared object in place (``self.table[0] = 1``) is seen by all runs.

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
    _workbench_state: _State
    algorithm_type: ClassVar[str] = "Generic"

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        object.__setattr__(self, "_workbench_state", _State())
        return self

    # -- life cycle, called by execution ------------------------------------------------------------------------------

    @classmethod
    def _load(cls, context: LoadContext, device: str = "cpu") -> Self:
        """Return the shared instance: ``__init__`` and ``load_assets`` have run.

        Loading twice gives two instances; who keeps loaded runners takes a lock around this call.

        Parameters
        ----------
        context : LoadContext
            Gives assets and takes log lines until ``load_assets`` returns.
        device : str
            ``"cpu"``, ``"cuda"`` or ``"mps"``.
        """
        shared = cls.__new__(cls)
        state = shared._workbench_state
        state.device, state.load = device, context
        shared._call_init()
        before = dict(vars(shared))
        state.stage = _Stage.LOADING
        shared.load_assets()
        values = _values(shared)
        # also what was put past __setattr__, as in self.__dict__.update(table)
        state.touched |= {
            name for name, value in vars(shared).items() if before.get(name, shared) is not value
        }
        state.locked = frozenset(state.touched & values.keys())
        _drop(shared, values.keys() - state.locked)
        state.stage, state.load = _Stage.SHARED, None
        return shared

    def _for_run(self, context: RunnerContext) -> Self:
        """Return an instance for one run; ``self`` is the shared one."""
        cls = type(self)
        runner = cls.__new__(cls)
        state = runner._workbench_state
        state.device = self._workbench_state.device
        state.run, state.shared, state.locked = context, self, self._workbench_state.locked
        shared_values = {name: value for name, value in _values(self).items() if name in state.locked}
        _assign(runner, shared_values)
        state.stage = _Stage.STARTING
        runner._call_init()
        _assign(runner, shared_values)  # an __init__ can write past __setattr__ (frozen dataclasses do)
        state.stage = _Stage.RUNNING
        return runner

    def _call_init(self) -> None:
        self.__init__()  # type: ignore[misc]  # by design: __init__ runs once per run

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
        _drop(self, _values(self).keys() - state.locked)
        stage, state.stage = state.stage, _Stage.STARTING
        try:
            self._call_init()
        finally:
            state.stage = stage

    # -- what an algorithm implements ---------------------------------------------------------------------------------

    def load_assets(self) -> None:  # noqa: B027  # optional
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
        with self._phase():
            return self.preprocess(input_data, args)

    def inference_base(self, data: Any, args: dict[str, Any] = NO_ARGS) -> Any:
        """Call ``inference`` as a phase of this run; data and args are passed by position."""
        with self._phase():
            return self.inference(data, args)

    def postprocess_base(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Call ``postprocess`` as a phase of this run."""
        with self._phase():
            return self.postprocess(data, args)

    def run(self, input_data: dict[str, Any], args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Call the three phases in a row and return the output ids."""
        return self.postprocess_base(self.inference_base(self.preprocess_base(input_data, args), args), args)

    @contextmanager
    def _phase(self) -> Iterator[None]:
        shared = self._workbench_state.shared
        if shared is None:
            yield
            return
        state = shared._workbench_state
        token = _in_phase.set(self)
        with state.lock:
            state.under_way.append(self)
        try:
            yield
        finally:
            _in_phase.reset(token)
            with state.lock:  # by identity: a runner may define == (dataclasses)
                state.under_way[:] = [runner for runner in state.under_way if runner is not self]

    def _current_run(self) -> BaseRunner | None:
        """Return the run instance that this instance stands for; itself unless it is the shared one."""
        state = self._workbench_state
        if state.stage is not _Stage.SHARED:
            return self
        current = _in_phase.get()
        if current is not None and current._workbench_state.shared is self:
            return current
        under_way = state.under_way[:]
        return under_way[0] if len(under_way) == 1 else None

    def _run_context(self, wanted: str) -> RunnerContext:
        """Return the context of the run, or say why ``wanted`` cannot be had here."""
        runner = self._current_run()
        context = None if runner is None else runner._workbench_state.run
        if context is not None:
            return context
        name = type(self).__name__
        if self._workbench_state.load is not None:
            raise InvalidInputError(
                f"{wanted} is not available in load_assets of {name}: it runs once, before and apart from any run. "
                f"Call {wanted} in preprocess, inference or postprocess."
            )
        if self._workbench_state.stage is _Stage.SHARED:
            raise InvalidInputError(
                f"{wanted} was called on the instance of {name} that load_assets filled, and "
                f"{len(self._workbench_state.under_way)} runs share it, so the run is not known. "
                f"Pass self.{wanted} from preprocess or inference instead of keeping it in load_assets."
            )
        raise InvalidInputError(
            f"{wanted} needs a run, and this {name} is attached to none (it was created by hand or sent to another "
            f"process). Run its folder with ws.run('path/to/folder', inputs=[...], debug=True)."
        )

    def _load_context(self, wanted: str) -> LoadContext:
        return self._workbench_state.load or self._run_context(wanted)

    # -- attributes ---------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        state = self._workbench_state
        if name in state.locked:
            if state.stage is not _Stage.STARTING:
                raise AttributeError(_locked_message(self, name, "modified"))
        elif state.stage is _Stage.SHARED:
            run = self._current_run()
            if run is None:
                raise AttributeError(_locked_message(self, name, "set once load_assets has returned"))
            setattr(run, name, value)
        else:
            super().__setattr__(name, value)
            if state.stage is _Stage.LOADING:
                state.touched.add(name)

    def __delattr__(self, name: str) -> None:
        if name in self._workbench_state.locked:
            raise AttributeError(_locked_message(self, name, "deleted"))
        super().__delattr__(name)

    def __getattr__(self, name: str) -> Any:
        # Called for names that are not there. The second lookup raises the true error, also that of a property.
        run = self if name == "_workbench_state" else self._current_run()
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
        return self._run_context("task_handler")

    @property
    def runner_context(self) -> dict[str, Any]:
        """The attributes of this run: all but those that ``load_assets`` set."""
        locked = self._workbench_state.locked
        return {name: value for name, value in _values(self).items() if name not in locked}

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
        return self._run_context("fetch_data").fetch_data(
            refs, pydantic_data_schema, *keys, parallel=parallel
        )

    def post_data(
        self, data: Iterable[dict[str, Any]], pydantic_data_schema: type[DataSchema], parallel: bool = False
    ) -> list[str]:
        """Store one dataset per dict and return the new ids in order."""
        items = [data] if isinstance(data, dict) else list(data)
        return self._run_context("post_data").post_data(items, pydantic_data_schema, parallel=parallel)

    def fetch_asset(self, asset_path: str) -> io.BytesIO:
        """Return a file of the algorithm's folder, e.g. ``"files/weights.pth"``, as a stream of bytes."""
        return self._load_context("fetch_asset").fetch_asset(asset_path)

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
        self._load_context("log_message").log_message(str(message), level)

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
            self._run_context("set_progress").set_progress(fraction, message)

    def save_item_to_session(self, obj: Any, key: str) -> None:
        """Keep an object in the session of the run for later runs."""
        self._run_context("save_item_to_session").save_item(obj, key)

    def load_item_from_session(self, key: str) -> Any:
        """Return an object that an earlier run kept; KeyError says why there is none."""
        return self._run_context("load_item_from_session").load_item(key)

    def remove_item_from_session(self, key: str) -> None:
        """Remove an object from the session."""
        self._run_context("remove_item_from_session").remove_item(key)


def _values(runner: BaseRunner) -> dict[str, Any]:
    """Return the attributes that an instance holds itself: in its ``__dict__`` and in slots."""
    values = dict(vars(runner))
    for cls in type(runner).__mro__:
        if cls is BaseRunner:
            continue
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType):
                try:
                    values[name] = member.__get__(runner)
                except AttributeError:
                    continue  # an empty slot
    return values


def _in_slot(runner: BaseRunner, name: str) -> bool:
    return isinstance(getattr(type(runner), name, None), MemberDescriptorType)


def _assign(runner: BaseRunner, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if _in_slot(runner, name):
            object.__setattr__(runner, name, value)
        else:
            vars(runner)[name] = value


def _drop(runner: BaseRunner, names: Iterable[str]) -> None:
    for name in names:
        if _in_slot(runner, name):
            object.__delattr__(runner, name)
        else:
            del vars(runner)[name]


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
