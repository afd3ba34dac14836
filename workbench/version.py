"""The version of workbench, written here and nowhere else."""

__version__ = "0.1.0"


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparing.

    >>> release("0.10.1") > release("0.9")
    True
    """
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version.split("."))
