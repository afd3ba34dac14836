"""Every error that workbench raises on purpose.

The tree groups errors by what a caller would do about them; each class is also the builtin that people expect::

    WorkbenchError
    ├── InvalidInputError (ValueError)         mend the call; nothing was stored or started
    │   ├── InvalidNameError
    │   ├── InvalidParameterError              .problems: {parameter: message}
    │   ├── InvalidDataError                   a dataset does not fit its schema; .key
    │   ├── InvalidAlgorithmError              a folder that cannot be deployed; .problems: list of messages
    │   ├── InvalidTemplateError               a notebook that is no template; .problems: list of messages
    │   ├── InvalidPipelineError               nodes that are no graph to run; .problems: list of messages
    │   └── UnsupportedError                   a device, executor or file format that is not there
    ├── NotFoundError (KeyError)               name something that exists; .near: close names
    ├── ConflictError                          it is there already, or something still needs it
    │   ├── AlreadyExistsError (FileExistsError)
    │   └── InUseError                         .users: what still needs it
    ├── VersionError (ValueError)              train again; .node, .upstream, .version
    ├── DamagedError (OSError)                 stored bytes are not what they should be
    ├── StorageError (OSError)                 the place cannot take or give bytes
    │   ├── ReadOnlyError (PermissionError)
    │   └── StorageFullError
    ├── WorkspaceError (OSError)               the folder is not a workspace we can open
    ├── MissingPackageError (ImportError)      install a package; .package
    └── RunError (RuntimeError)                a run that did not complete; .run_id
        ├── RunFailedError                     .type, .phase, .traceback_text; __cause__ in the same process
        ├── RunCancelledError
        ├── RunTimeoutError (TimeoutError)
        └── RunLostError

Messages say what happened with the value, which object, and what to do next. Errors cross processes: all pickle.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class WorkbenchError(Exception):
    """Base of all errors of workbench.

    Parameters
    ----------
    message : str
        What happened, to which object, and what to do next.
    **facts
        Machine-readable details; each becomes an attribute.
    """

    kind = "error"

    def __init__(self, message: str = "", /, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    # KeyError would quote the message
    __str__ = Exception.__str__

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.facts)


def _rebuild(cls: type[WorkbenchError], message: str, facts: dict[str, Any]) -> WorkbenchError:
    return cls(message, **facts)


class InvalidInputError(WorkbenchError, ValueError):
    """The call is wrong; nothing was stored or started."""

    kind = "invalid_input"


class InvalidNameError(InvalidInputError):
    """A name or key that breaks the naming rules."""

    kind = "invalid_name"


class InvalidParameterError(InvalidInputError):
    """Parameter values that do not fit their declaration; ``problems`` maps parameter to message."""

    kind = "invalid_parameter"
    problems: Mapping[str, str] = {}


class InvalidDataError(InvalidInputError):
    """Data that does not fit its schema; ``key`` names the offending array."""

    kind = "invalid_data"
    key: str | None = None


class InvalidAlgorithmError(InvalidInputError):
    """An algorithm folder that cannot be deployed; ``problems`` lists everything found at once."""

    kind = "invalid_algorithm"
    problems: Sequence[str] = ()


class InvalidTemplateError(InvalidInputError):
    """A notebook that cannot be used as a template; ``problems`` lists everything found at once."""

    kind = "invalid_template"
    problems: Sequence[str] = ()


class InvalidPipelineError(InvalidInputError):
    """Nodes that make no pipeline; ``problems`` lists everything found at once."""

    kind = "invalid_pipeline"
    problems: Sequence[str] = ()


class UnsupportedError(InvalidInputError):
    """A device, executor, file format or feature that is not available here."""

    kind = "unsupported"


class NotFoundError(WorkbenchError, KeyError):
    """Nothing of that name or id; ``near`` lists close names."""

    kind = "not_found"
    near: Sequence[str] = ()


class ConflictError(WorkbenchError):
    """The request clashes with what is there."""

    kind = "conflict"


class AlreadyExistsError(ConflictError, FileExistsError):
    """Something of that name exists and was not to be replaced."""

    kind = "already_exists"


class InUseError(ConflictError):
    """Something else still needs it; ``users`` lists what."""

    kind = "in_use"
    users: Sequence[str] = ()


class VersionError(WorkbenchError, ValueError):
    """A step that was trained with another major version of what it gets its input from.

    ``node`` is what has to be trained again, ``upstream`` what changed, ``version`` its version now.
    """

    kind = "version"
    node: str = ""
    upstream: str = ""
    version: str = ""


class DamagedError(WorkbenchError, OSError):
    """Stored or given bytes are not what they should be (not HDF5, truncated, wrong digest)."""

    kind = "damaged"


class StorageError(WorkbenchError, OSError):
    """The store cannot take or give bytes."""

    kind = "storage"


class ReadOnlyError(StorageError, PermissionError):
    """The place cannot be written."""

    kind = "read_only"


class StorageFullError(StorageError):
    """No space is left; what was being written was not published."""

    kind = "storage_full"


class WorkspaceError(WorkbenchError, OSError):
    """The place is not a workspace that this version can open."""

    kind = "workspace"


class MissingPackageError(WorkbenchError, ImportError):
    """A package that is needed is not installed; ``package`` names it."""

    kind = "missing_package"
    package: str = ""


class RunError(WorkbenchError, RuntimeError):
    """A run that did not complete; ``run_id`` names it."""

    kind = "run"
    run_id: str = ""


class RunFailedError(RunError):
    """The algorithm raised; ``type``, ``phase`` and ``traceback_text`` describe the true error."""

    kind = "run_failed"
    type: str = ""
    phase: str = ""
    traceback_text: str = ""


class RunCancelledError(RunError):
    """The run was cancelled."""

    kind = "run_cancelled"


class RunTimeoutError(RunError, TimeoutError):
    """The run, or the wait for it, took longer than allowed."""

    kind = "run_timeout"


class RunLostError(RunError):
    """The process that ran it is gone."""

    kind = "run_lost"


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return up to n known names that look like ``name``, best first.

    >>> nearest("sigam", ["sigma", "iterations"])
    ['sigma']
    """
    by_folded = {k.casefold(): k for k in known}
    return [
        by_folded[f] for f in difflib.get_close_matches(name.casefold(), list(by_folded), n=n, cutoff=0.6)
    ]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'sigma'?"`` or an empty string.

    >>> did_you_mean("sigam", ["sigma", "iterations"])
    " Did you mean 'sigma'?"
    """
    near = nearest(name, known, n=2)
    return f" Did you mean {' or '.join(repr(k) for k in near)}?" if near else ""
