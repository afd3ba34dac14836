"""``%versions``, ``%links`` and ``%retrain``: versions of code; the other magics are in `workbench.notebook.magics`."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class, output_can_be_silenced
from IPython.core.magic_arguments import argument, magic_arguments

from workbench.notebook.magics import arguments_of, usage


@magics_class
class VersionMagics(Magics):  # type: ignore[misc]
    """The magics for versions of code; ``%versions?`` shows the help of one."""

    @magic_arguments()
    @argument("name", nargs="?", help="An algorithm, step or pipeline, or a variable that is one.")
    @argument("before", nargs="?", help="Show what changed since this version, such as 1.0.0.")
    @argument("after", nargs="?", help="Show what changed up to this one; default: the newest.")
    @output_can_be_silenced
    @line_magic
    @usage
    def versions(self, line: str) -> Any:
        """List versions, newest first, with what changed; without a name, all that have some."""
        from workbench.commands.versions import versions_words
        from workbench.workspace import current

        args = arguments_of(self.versions, line)
        found = self.shell.user_ns.get(args.name)
        name = getattr(found, "name", None)
        return versions_words(
            current(), name if isinstance(name, str) else args.name, args.before, args.after
        )

    @magic_arguments()
    @argument("downstream", nargs="?", help="Only of this step.")
    @argument("upstream", nargs="?", help="Only to this step.")
    @output_can_be_silenced
    @line_magic
    @usage
    def links(self, line: str) -> Any:
        """List which versions of steps worked together."""
        from workbench.commands.versions import links_words
        from workbench.workspace import current

        args = arguments_of(self.links, line)
        return links_words(current(), args.downstream, args.upstream)

    @magic_arguments()
    @argument("pipeline", help="A pipeline that trains: a variable, its name, or pipelines.py:train.")
    @argument("words", nargs="*", help="Its inputs: variables, dataset ids or names, files.")
    @argument("--force", action="store_true", help="Train all of it again, whether it is stale or not.")
    @argument("-x", "--executor", default=None, help="kernel or process.")
    @output_can_be_silenced
    @line_magic
    @usage
    def retrain(self, line: str) -> Any:
        """Train again what is stale in a pipeline, in order, and save it."""
        from workbench.commands.pipelines import find_pipeline, read_pipeline_inputs
        from workbench.workspace import current

        args = arguments_of(self.retrain, line)
        pipeline = find_pipeline(args.pipeline, self.shell.user_ns)
        inputs = read_pipeline_inputs(current(), pipeline, args.words, self.shell.user_ns)
        return current().pipelines.retrain(pipeline, *inputs, force=args.force, executor=args.executor)
