"""The bytes of a trained step: a zip with the model in one format and ``_meta.json`` that says which."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import DamagedError, InvalidDataError, UnsupportedError

META, MODEL = "_meta.json", "model"
SAFE = ("skops", "safetensors", "torchscript", "json")
_TIME = (1980, 1, 1, 0, 0, 0)  # of every part, so that the bytes follow from the content


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of a trained model beside itself.

    Parameters
    ----------
    format : str
        ``skops``, ``safetensors``, ``torchscript``, ``json`` or ``pickle``.
    train_time : float or None
        When it was trained, in seconds since 1970.
    """

    format: str
    train_time: float | None = None


def pack(model: bytes, meta: Meta) -> bytes:
    """Return the bytes of a trained step."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name, content in ((META, json.dumps(asdict(meta)).encode()), (MODEL, model)):
            file.writestr(zipfile.ZipInfo(name, _TIME), content)
    return out.getvalue()


def unpack(data: bytes, what: str) -> tuple[bytes, Meta]:
    """Return model and meta of the bytes of a trained step.

    Raises
    ------
    DamagedError
        If they are cut off or changed.
    InvalidDataError
        If they are something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            model, meta = file.read(MODEL), json.loads(file.read(META))
        return model, Meta(str(meta["format"]), _number(meta.get("train_time")))
    except zipfile.BadZipFile as error:
        raise DamagedError(
            f"The bytes of {what} are damaged: {error}. Load another version, or train it again."
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidDataError(
            f"The bytes of {what} are no trained step: {error}. They hold {META!r} and {MODEL!r}; see serialize()."
        ) from error


def check_format(found: str, expected: str, what: str, allow_pickle: bool) -> None:
    """Raise unless a model of this format may be read.

    Raises
    ------
    UnsupportedError
        For pickle, unless it was allowed; nothing has been read then.
    InvalidDataError
        For another format than the step's own.
    """
    if found == "pickle" and not allow_pickle:
        raise UnsupportedError(
            f"The bytes of {what} are a pickle, which runs whatever code is in it. If you trust who wrote it, load it with "
            "allow_pickle=True; and save it as one of " + ", ".join(SAFE) + " from then on."
        )
    if found not in (expected, "pickle"):
        raise InvalidDataError(
            f"The bytes of {what} are {found}, this step reads {expected}. Load them with the step that wrote them."
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
