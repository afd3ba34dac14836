"""The life cycle of a runner: loaded once, then one instance per run.

`load` makes one *shared* instance per algorithm version and device and calls its ``load_assets`` once.
`for_run` makes one instance per run that starts with references to what ``load_assets`` set (shared, locked) and then
calls ``__init__`` again for everything else. Since each run has an instance of its own, ``self`` reaches the right run from
every thread that the algorithm starts.

Objects made in ``load_assets`` may keep the shared instance, as in ``Tiler(on_tile=self.set_progress)``. Used during a
run, it stands for that run: the one of the calling context, else the only one under way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar, Token
from enum import Enum
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from workbench.errors import InvalidInputError
from workbench.versions import fields_of

if TYPE_CHECKING:
    from workbench.runners.base import BaseRunner
    from workbench.runners.context import LoadContext, RunnerContext

AnyRunner = TypeVar("AnyRunner", bound="BaseRunner")
_slots: WeakKeyDictionary[type, tuple[tuple[str, MemberDescriptorType], ...]] = WeakKeyDictionary()
_in_phase: ContextVar[BaseRunner | None] = ContextVar("workbench_runner_in_phase", default=None)


class Stage(Enum):
    """Where an instance stands."""

    BY_HAND = "by hand"  # Runner() written by someone: attached to nothing, nothing is locked
    LOADING = "load_assets"
    SHARED = "shared"
    STARTING = "__init__ of a run"
    RUNNING = "run"


class State:
    """What an instance knows about its place in the life cycle; apart from the attributes of the algorithm."""

    def __init__(self, device: str = "cpu") -> None:
        self.stage = Stage.BY_HAND
        self.device = device
        self.locked: frozenset[str] = frozenset()
        self.touched: set[str] = set()  # names assigned while loading
        self.load: LoadContext | None = None
        self.run: RunnerContext | None = None
        self.shared: BaseRunner | None = None
        self.under_way: list[BaseRunner] = []  # of a shared instance: runs inside a phase
        self.lock = threading.Lock()
        self.input_count: int | None = None  # of a typed runner: how many inputs its own preprocess stacked
        # of an embedding runner: (H, W) of each image fetched, px
        self.image_sizes: list[tuple[int, ...]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        # A runner sent to another process (Pool.map(self.work, ...)) keeps its values, not its run.
        return State, (self.device,)


def own_values(runner: BaseRunner) -> dict[str, Any]:
    """Return the attributes that an instance holds itself: in its ``__dict__`` and in slots."""
    values = dict(vars(runner))
    for name, member in _slots_of(type(runner)):
        with suppress(AttributeError):  # an empty slot
            values[name] = member.__get__(runner)
    return values


def _slots_of(cls: type[BaseRunner]) -> tuple[tuple[str, MemberDescriptorType], ...]:
    """Return the slots of a class, those of its bases too; which they are is settled when it is made."""
    if cls not in _slots:
        _slots[cls] = tuple(
            (name, member)
            for each in cls.__mro__
            for name, member in vars(each).items()
            if isinstance(member, MemberDescriptorType) and name != "_workbench_state"
        )
    return _slots[cls]


def _in_slot(runner: BaseRunner, name: str) -> bool:
    """Tell whether an attribute lies in a slot of the class."""
    return isinstance(getattr(type(runner), name, None), MemberDescriptorType)


def assign(runner: BaseRunner, values: dict[str, Any]) -> None:
    """Put values into an instance, past its ``__setattr__``."""
    for name, value in values.items():
        if _in_slot(runner, name):
            object.__setattr__(runner, name, value)
        else:
            vars(runner)[name] = value


def drop(runner: BaseRunner, names: Iterable[str]) -> None:
    """Take values out of an instance, past its ``__delattr__``."""
    for name in names:
        if _in_slot(runner, name):
            object.__delattr__(runner, name)
        else:
            del vars(runner)[name]


def load(cls: type[AnyRunner], context: LoadContext, device: str = "cpu") -> AnyRunner:
    """Return the shared instance of a runner class: ``__init__`` and ``load_assets`` have run.

    Loading twice gives two instances; who keeps loaded runners takes a lock around this call.

    Parameters
    ----------
    cls : type of BaseRunner
    context : LoadContext
        Gives assets and takes log lines until ``load_assets`` returns.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    """
    shared = cls.__new__(cls)
    state = shared._workbench_state
    state.device, state.load = device, context
    call_init(shared)
    before = dict(vars(shared))
    state.stage = Stage.LOADING
    shared.load_assets()
    values = own_values(shared)
    # also what was put past __setattr__, as in self.__dict__.update(table)
    put = {name for name, value in vars(shared).items() if before.get(name, shared) is not value}
    state.touched |= put - fields_of(cls).keys()  # reading a versioned list gives the instance one of its own
    state.locked = frozenset(state.touched & values.keys())
    drop(shared, values.keys() - state.locked)
    state.stage, state.load = Stage.SHARED, None
    return shared


def for_run(shared: AnyRunner, context: RunnerContext) -> AnyRunner:
    """Return an instance for one run of a shared instance."""
    cls = type(shared)
    runner = cls.__new__(cls)
    state = runner._workbench_state
    state.device, state.locked = shared._workbench_state.device, shared._workbench_state.locked
    state.run, state.shared = context, shared
    shared_values = {name: value for name, value in own_values(shared).items() if name in state.locked}
    assign(runner, shared_values)
    state.stage = Stage.STARTING
    call_init(runner)
    assign(runner, shared_values)  # an __init__ can write past __setattr__ (frozen dataclasses do)
    state.stage = Stage.RUNNING
    return runner


def run_values(runner: BaseRunner) -> dict[str, Any]:
    """Return what belongs to the run of an instance: all it holds but what ``load_assets`` set."""
    state = runner._workbench_state
    values = {name: value for name, value in own_values(runner).items() if name not in state.locked}
    return {"values": values, "input_count": state.input_count, "image_sizes": state.image_sizes}


def restore(runner: BaseRunner, kept: dict[str, Any]) -> None:
    """Give an instance what `run_values` returned of another one."""
    state = runner._workbench_state
    assign(runner, {name: value for name, value in kept["values"].items() if name not in state.locked})
    state.input_count, state.image_sizes = kept["input_count"], kept["image_sizes"]


def call_init(runner: BaseRunner) -> None:
    runner.__init__()  # type: ignore[misc]  # by design: __init__ runs once per run


class Phase:
    """While a phase of a run is under way, the shared instance stands for that run."""

    def __init__(self, runner: BaseRunner) -> None:
        self._runner = runner
        shared = runner._workbench_state.shared
        self._state = None if shared is None else shared._workbench_state
        self._token: Token[BaseRunner | None]

    def __enter__(self) -> None:
        if self._state is None:
            return
        self._token = _in_phase.set(self._runner)
        with self._state.lock:
            self._state.under_way.append(self._runner)

    def __exit__(self, *args: object) -> None:
        if self._state is None:
            return
        _in_phase.reset(self._token)
        with self._state.lock:  # by identity: a runner may define == (dataclasses)
            self._state.under_way[:] = [o for o in self._state.under_way if o is not self._runner]


def current_run(runner: BaseRunner) -> BaseRunner | None:
    """Return the run instance that an instance stands for; itself unless it is the shared one."""
    state = runner._workbench_state
    if state.stage is not Stage.SHARED:
        return runner
    current = _in_phase.get()
    if current is not None and current._workbench_state.shared is runner:
        return current
    under_way = state.under_way[:]
    return under_way[0] if len(under_way) == 1 else None


def run_context(runner: BaseRunner, wanted: str) -> RunnerContext:
    """Return the context of the run, or say why ``wanted`` cannot be had here."""
    current = current_run(runner)
    context = None if current is None else current._workbench_state.run
    if context is not None:
        return context
    name, state = type(runner).__name__, runner._workbench_state
    if state.load is not None:
        raise InvalidInputError(
            f"{wanted} is not available in load_assets of {name}: it runs once, before and apart from any run. "
            f"Call {wanted} in preprocess, inference or postprocess."
        )
    if state.stage is Stage.SHARED:
        raise InvalidInputError(
            f"{wanted} was called on the instance of {name} that load_assets filled, and {len(state.under_way)} runs "
            f"share it, so the run is not known. Pass self.{wanted} from preprocess or inference instead of keeping "
            "it in load_assets."
        )
    raise InvalidInputError(
        f"{wanted} needs a run, and this {name} is attached to none (it was created by hand or sent to another "
        f"process). Run its folder with ws.run('path/to/folder', inputs=[...], debug=True)."
    )


def load_context(runner: BaseRunner, wanted: str) -> LoadContext:
    return runner._workbench_state.load or run_context(runner, wanted)
