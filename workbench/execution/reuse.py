"""Result reuse: the key of a run, and the completed run that can stand for it.

The key is over what a result depends on, each part a digest of its own, so that `why` can say which part differs: the
meaning of the code, the assets, the parameters, the inputs, and the device where the algorithm declares that it matters.
Name and version of the algorithm are not in it, nor are installed packages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import DamagedError, InvalidInputError, NotFoundError, UnsupportedError, did_you_mean
from workbench.execution.events import RunEvent
from workbench.models import Progress, Revision, RunRecord, RunStatus, now
from workbench.names import time_of

if TYPE_CHECKING:
    from workbench.algorithms.algorithms import Algorithms
    from workbench.algorithms.runnable import Runnable
    from workbench.catalog import Catalog
    from workbench.execution.inputs import Inputs
    from workbench.library.datasets import Datasets

NEVER, AUTO, ONLY = MODES = ("never", "auto", "only")
MOST_KNOWN = 256  # revisions
_NO_ASSETS = ("pyproject.toml",)  # what it says is in the parts of the code and the parameters
_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_ABOUT = ("readme", "license", "licence", "changelog")  # for people; with any suffix, beside pyproject.toml


def checked_mode(mode: str, chosen: Runnable, *, debug: bool, session: str | None = None) -> str:
    """Return how completed runs are to be used, if it can be done.

    A run in a session may depend on what other runs left there, so it is computed, and never used again.

    Raises
    ------
    InvalidInputError
        For an unknown mode, or ``only`` where a run is never used.
    UnsupportedError
        For ``only`` with a folder.
    """
    checked_word(mode)
    if mode == ONLY and not chosen.is_deployed:
        raise UnsupportedError(
            f"reuse='only': runs of the folder {chosen.label} are not used again, for its files may change under them. "
            "Deploy it first: ws.algorithms.deploy(folder)."
        )
    if mode == ONLY and debug:
        raise InvalidInputError(
            "reuse='only' computes nothing, so there is nothing to debug. Keep one of them."
        )
    if mode == ONLY and session is not None:
        raise InvalidInputError(
            f"reuse='only': a run in session {session!r} may depend on what lies in it and is always computed. "
            "Leave the session out."
        )
    if mode == AUTO and (
        debug or session is not None or not chosen.is_deployed or not is_deterministic(chosen.revision)
    ):
        return NEVER
    return mode


def checked_word(mode: str) -> str:
    """Return how completed runs are to be used, if it is one of the words for it.

    Raises
    ------
    InvalidInputError
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise InvalidInputError(
            f"reuse is {mode!r}, expected one of {', '.join(MODES)}.{did_you_mean(str(mode), MODES)}"
        )
    return mode


def template_parts(digest: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return what the result of a notebook depends on, as far as is known: its cells and its parameters."""
    return {"template": digest, "parameters": digest_of(values)}


def is_deterministic(revision: Revision) -> bool:
    """Tell whether equal inputs give equal results; an algorithm says ``deterministic = false`` where they do not."""
    return revision.settings.get("deterministic") is not False


def device_matters(revision: Revision) -> bool:
    """Tell whether another device may give another result, as an algorithm declares with ``device_matters = true``."""
    return revision.settings.get("device_matters") is True


def counting_assets(assets: Mapping[str, str]) -> dict[str, str]:
    """Return the assets that a result may depend on: not ``pyproject.toml``, README, LICENSE and CHANGELOG at the top."""
    return {
        path: digest
        for path, digest in assets.items()
        if path not in _NO_ASSETS and ("/" in path or path.partition(".")[0].lower() not in _ABOUT)
    }


def of_revision(revision: Revision, code: str) -> dict[str, str]:
    """Return the parts that are the same for all runs of a revision."""
    return {
        "code": digest_of([code, revision.runner, revision.runner_class, revision.type, revision.compox]),
        "assets": digest_of(counting_assets(revision.assets)),
    }


def of_call(
    revision: Revision, values: Mapping[str, Any], inputs: Sequence[str], device: str
) -> dict[str, str]:
    """Return the parts that belong to one run.

    Parameters
    ----------
    revision : Revision
    values : mapping
        Every parameter with its value, checked and filled.
    inputs : sequence of str
        The digests of the input datasets, in their order.
    device : str
    """
    parts = {"parameters": digest_of(values), "inputs": digest_of(list(inputs))}
    if device_matters(revision):
        parts["device"] = digest_of(device.partition(":")[0])  # one card of a kind is as good as another
    return parts


def kept_key(parts: Mapping[str, str], *, debug: bool, session: str | None) -> str:
    """Return the key under which a run is found again; empty for one that is never used."""
    return key_of(parts) if parts and not debug and session is None else ""


def key_of(parts: Mapping[str, str]) -> str:
    """Return the key of all parts."""
    return digest_of(parts)


def digest_of(value: Any) -> str:
    """Return the digest of what JSON can hold."""
    from blake3 import blake3

    # 1 and 1.0 differ, as checked values do only where their kinds do; NaN is equal to itself
    return str(blake3(_to_json(value).encode()).hexdigest()[:40])  # 160 bits, as git has


class HasDigests(Protocol):
    """Inputs, as far as the key of a run needs them."""

    def digests(self) -> list[str]: ...


class Reuse:
    """Finds the completed run that has computed already what is asked for.

    Parameters
    ----------
    algorithms : Algorithms
    datasets : Datasets
    catalog : Catalog
    """

    def __init__(self, algorithms: Algorithms, datasets: Datasets, catalog: Catalog) -> None:
        self._algorithms = algorithms
        self._datasets = datasets
        self._catalog = catalog
        self._of_revisions: dict[str, dict[str, str]] = {}  # the parts that all runs of one have

    def parts(
        self, chosen: Runnable, values: Mapping[str, Any], inputs: HasDigests, device: str
    ) -> dict[str, str]:
        """Return the parts of the key; empty for a folder, whose code belongs to no revision."""
        if not chosen.is_deployed:
            return {}
        revision = chosen.revision
        known = self._of_revisions.get(revision.id)
        if known is None:
            try:
                known = of_revision(revision, self._algorithms.code(revision).digest)
            except (NotFoundError, DamagedError):  # the run itself tells what is wrong with its package
                return {}
            while len(self._of_revisions) >= MOST_KNOWN:
                self._of_revisions.pop(next(iter(self._of_revisions)), None)
            self._of_revisions[revision.id] = known
        return {**known, **of_call(revision, values, inputs.digests(), device)}

    def find(self, parts: Mapping[str, str]) -> RunRecord | None:
        """Return the newest completed run with that key whose outputs are all there."""
        if not parts:
            return None
        return next((r for r in self._catalog.runs_with_key(key_of(parts)) if self.has_outputs(r)), None)

    def choose(
        self, mode: str, chosen: Runnable, values: Mapping[str, Any], inputs: Inputs, device: str
    ) -> RunRecord | None:
        """Return the run that is used instead of computing, or None; its inputs then stand for arrays that are given.

        Raises
        ------
        NotFoundError
            For ``only`` where there is no such run, with what differs from the nearest one.
        """
        if mode == NEVER:
            return None
        parts = self.parts(chosen, values, inputs, device)
        found = self.find(parts)
        if found is not None:
            inputs.take(found.inputs)
        elif mode == ONLY:
            from workbench.execution.why import Subject, nearest_text

            subject = Subject(chosen.revision, parts, dict(values), inputs.digests(), inputs.shown(), device)
            raise NotFoundError(
                f"reuse='only': no completed run with all its outputs has computed this. Algorithm {chosen.label!r}. "
                f"{nearest_text(subject, self._algorithms, self._catalog)} Pass reuse='auto' to compute it."
            )
        else:
            inputs.take_stored()
        return found

    def has_outputs(self, record: RunRecord) -> bool:
        """Tell whether all that a run has put out is still there."""
        return self._datasets.are_whole(output.dataset for output in record.outputs if output.dataset)


def reused(record: RunRecord, found: RunRecord) -> RunRecord:
    """Return a new run's record, completed with the outputs of a run that computed them."""
    at = now()
    record = record.model_copy(update={"reused_from": found.id})
    return record.model_copy(
        update={
            "status": RunStatus.COMPLETED,
            "outputs": found.outputs,
            "records": found.records,
            "seed": found.seed,  # the outputs come from that one; they are computed again where that run is gone, too
            "seeded": found.seeded,
            "warnings": (),  # nothing happened that they could be about
            "executor": "",  # it ran nowhere
            "progress": Progress(fraction=1.0, message=origin(record)),
            "started": at,
            "finished": at,
        }
    )


def tell(record: RunRecord, listener: Callable[[RunEvent], None] | None) -> None:
    """Tell a listener of a run that was completed when it began."""
    if listener is not None:
        listener(RunEvent(record.id, "state", record.status, 1.0))


def origin(record: RunRecord) -> str:
    """Return where the outputs of a run come from: ``reused from 0c…, computed on 2026-03-01 09:30``; or nothing."""
    if record.reused_from is None:
        return ""
    return f"reused from {record.reused_from}, computed on {day(record.reused_from)}"


def day(run_id: str) -> str:
    """Return when a run was made, in local time to the minute."""
    return f"{time_of(run_id).astimezone():%Y-%m-%d %H:%M}"
