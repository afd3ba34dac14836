"""The command ``workbench``: what the magics do, in a terminal."""

from workbench.cli.app import main

__all__ = ["main"]
