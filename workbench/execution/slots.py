"""What a background run needs of the machine beside a free worker: memory and a GPU of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.models import Revision
    from workbench.settings import Settings


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run takes while it runs.

    Parameters
    ----------
    memory : int
        Bytes; 0 where nothing was declared.
    gpu : str or None
        The device that no other run may have meanwhile.
    """

    memory: int = 0
    gpu: str | None = None

    def compete(self, other: Needs) -> bool:
        """Tell whether what this run takes could be missing to another one."""
        return bool(self.memory and other.memory) or (self.gpu is not None and self.gpu == other.gpu)


def needs_of(revision: Revision, device: str, settings: Settings) -> Needs:
    """Return what a run of a revision on a device needs, as declared in its ``[tool.workbench]``."""
    shares = settings.share_gpu or bool(revision.settings.get("shares_gpu"))
    return Needs(
        memory=int(revision.settings.get("memory", 0)),
        gpu=None if device == "cpu" or shares else device,
    )
