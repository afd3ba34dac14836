"""Which compute device a run uses, and why."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from workbench.errors import UnsupportedError
from workbench.settings import DEVICE


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """A device as torch writes it (``cpu``, ``cuda``, ``cuda:1``, ``mps``), the reason, and a warning if it is second best."""

    device: str
    reason: str
    warning: str = ""


def choose_device(
    requested: str | None,
    supported: Sequence[str],
    default: str,
    algorithm: str,
    available: frozenset[str] | None = None,
) -> DeviceChoice:
    """Choose the device of a run.

    Parameters
    ----------
    requested : str or None
        ``cpu``, ``gpu`` (any accelerator of CUDA), ``cuda``, ``cuda:1``, ``mps``; None or ``auto``: the algorithm's default.
    supported : sequence of str
        What the algorithm declares: ``cpu``, ``gpu``, ``mps``.
    default : str
        Its default device.
    algorithm : str
        Its name, for messages.
    available : frozenset of str, optional
        Devices of this machine; found out when not given, and only if an accelerator is wanted.

    Raises
    ------
    UnsupportedError
        For a device that does not exist or that the algorithm does not support, and when neither the device nor the CPU will do.
    """
    if requested is not None and not (isinstance(requested, str) and DEVICE.fullmatch(requested)):
        raise UnsupportedError(
            f"Device {requested!r} is not known, expected auto, cpu, gpu, cuda, cuda:1 or mps. "
            f"Algorithm {algorithm!r} supports {', '.join(supported)}."
        )
    families = {_family(s) for s in supported}
    asked = requested not in (None, "auto")
    wanted = _canonical(str(requested) if asked else default)
    if _family(wanted) not in families:
        raise UnsupportedError(
            f"Device {requested!r} is not supported by algorithm {algorithm!r}; it supports {', '.join(supported)}. "
            f"Pass device={supported[0]!r} or leave it out."
        )
    why = "asked for" if asked else "the algorithm's default"
    if wanted == "cpu":
        return DeviceChoice("cpu", why)
    here = available_devices() if available is None else available
    if wanted in here:
        return DeviceChoice(wanted, why)
    if "cpu" not in families:
        raise UnsupportedError(
            f"Device {wanted!r} is not present on this machine (present: {', '.join(sorted(here))}) and algorithm "
            f"{algorithm!r} does not support the CPU. Run it where there is one."
        )
    reason = f"{wanted} is {why}, but not present on this machine"
    return DeviceChoice(
        "cpu", reason, f"Device {wanted!r} is not present on this machine; the run uses the CPU."
    )


def preferred_device(setting: str, supported: Sequence[str]) -> str | None:
    """Return the device of the settings if the algorithm supports it; None leaves the choice to the algorithm."""
    if setting == "auto" or _family(setting) not in {_family(s) for s in supported}:
        return None
    return setting


def _canonical(device: str) -> str:
    return device.replace("gpu", "cuda")


def _family(device: str) -> str:
    return _canonical(device).split(":")[0]


@lru_cache(maxsize=1)
def available_devices() -> frozenset[str]:
    """Return the devices of this machine; looked up once per process."""
    found = {"cpu"}
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            found |= {"cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))}
        if torch.backends.mps.is_available():
            found.add("mps")
    elif shutil.which("nvidia-smi"):
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False
        )
        count = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
        if listing.returncode == 0 and count:
            found |= {"cuda", *(f"cuda:{i}" for i in range(count))}
    return frozenset(found)
