"""What the commands of all files share: how the workspace of this call is opened."""

from __future__ import annotations

#: where the outermost command leaves the function that opens the workspace
OPEN = "workbench.open"
