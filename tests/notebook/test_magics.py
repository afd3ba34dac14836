"""The magics, in a real IPython shell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algorithm_folders import GAIN, generic, write_algorithm
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench
from workbench.errors import RunFailedError
from workbench.notebook.completion import complete
from workbench.notebook.magics import split_line


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "workbench")
    shell.run_line_magic("workbench", str(tmp_path / "ws"))
    yield shell
    workbench.current().close()
    shell.run_line_magic("unload_ext", "workbench")
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


@pytest.fixture
def deployed(shell: InteractiveShell, tmp_path: Path) -> InteractiveShell:
    shell.run_line_magic("algodeploy", f"{write_algorithm(tmp_path / 'invert', extra=GAIN)} --no-check")
    shell.user_ns["volume"] = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    return shell


def test_deploy_list_run_and_look(deployed: InteractiveShell) -> None:
    assert [a.ref for a in deployed.run_line_magic("algols", "")] == ["invert@1.0"]
    run = deployed.run_line_magic("algorun", "invert@1 volume gain=2.0 -o clean")
    volume = deployed.user_ns["volume"]
    np.testing.assert_array_equal(deployed.user_ns["clean"], (volume.max() - volume) * 2.0)
    assert run.status == "COMPLETED"
    assert [r.id for r in deployed.run_line_magic("algojobs", "")] == [run.id]
    assert "inverting" in deployed.run_line_magic("algojobs", f"{run.id} log")


def test_a_dry_run_stores_nothing(shell: InteractiveShell, tmp_path: Path) -> None:
    plan = shell.run_line_magic("algodeploy", f"{write_algorithm(tmp_path / 'invert')} --dry-run")
    assert "Runner.py" in repr(plan)
    assert len(workbench.current().algorithms.list()) == 0


def test_the_cell_magic_takes_parameters_from_a_yaml_body(deployed: InteractiveShell) -> None:
    run = deployed.run_cell_magic("algorun", "invert volume", "gain: 3.0\n")
    assert run.parameters == {"gain": 3.0}


def test_an_expression_over_a_variable_is_an_input(deployed: InteractiveShell) -> None:
    run = deployed.run_line_magic("algorun", "invert volume[0]")
    assert len(run.outputs) == 1


def test_a_file_is_not_taken_for_an_attribute_of_a_variable(
    deployed: InteractiveShell, tmp_path: Path
) -> None:
    np.save(tmp_path / "volume.npy", np.ones((8, 8), np.float32))
    assert len(deployed.run_line_magic("algorun", "invert volume.npy").outputs) == 1


def test_a_form_that_was_refused_leaves_nothing_to_complain_about(deployed: InteractiveShell) -> None:
    import gc

    with pytest.raises(UsageError, match="invert"):
        deployed.run_line_magic("algoform", "invrt volume")
    gc.collect()  # an error in the clean-up would be raised as a warning here


@pytest.mark.parametrize(
    ("magic", "line", "words"),
    [
        ("algorun", "invrt volume", "invert"),
        ("algorun", "invert volum", "'volume'"),
        ("algorun", "invert volume gian=2", "'gain'"),
        ("algorun", "invert volume gain=much", "gain"),
        ("algorun", "invert volume gain=1 gain=2", "given twice"),
        ("algorun", "invert volume -d tpu", "tpu"),
        ("algorun", "invert volume --nonsense", "nonsense"),
        ("algorun", "invert 'volume", "quotes"),
        ("algorun", "invert volume -o 2x", "no variable name"),
        ("algorun", "", "algorithm"),
        ("algodeploy", "no-such-folder", "no-such-folder"),
        ("algojobs", "0000000000000000000a", "no run"),
        ("algols", "--type Image2Imge", "Image2Image"),
    ],
)
def test_bad_arguments_are_usage_errors_without_a_run(
    deployed: InteractiveShell, magic: str, line: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        deployed.run_line_magic(magic, line)
    assert len(workbench.current().runs.list()) == 0


def test_a_body_that_is_no_mapping_is_a_usage_error(deployed: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="name: value"):
        deployed.run_cell_magic("algorun", "invert volume", "- a\n- b\n")


def test_a_runner_in_a_cell_is_deployed_with_its_parameters(shell: InteractiveShell) -> None:
    cell = '''
from pydantic import BaseModel, Field
from workbench.runners import Image2ImageRunner

class Runner(Image2ImageRunner):
    """Multiply an image."""

    class Parameters(BaseModel):
        factor: float = Field(2.0, ge=0, description="What to multiply by")

    def inference(self, data, args={}):
        return data * args["factor"]
'''
    algorithm = shell.run_cell_magic("algorithm", "times@1.0", cell)
    assert (algorithm.type, algorithm.description) == ("Image2Image", "Multiply an image.")
    assert algorithm(np.ones((4, 4))).result()[0, 0] == 2.0
    with pytest.raises(UsageError, match="factor"):
        shell.run_line_magic("algorun", "times x factor=-1")


def test_a_cell_without_a_runner_says_how_to_begin(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="class Runner"):
        shell.run_cell_magic("algorithm", "times@1.0", "x = 1\n")
    for ref in ("times", "times@1", "times@1.x"):
        with pytest.raises(UsageError, match="names no version"):
            shell.run_cell_magic("algorithm", ref, "x = 1\n")


def test_what_is_wrong_in_a_cell_is_told_of_the_cell(shell: InteractiveShell) -> None:
    cell = "from workbench.runners import BaseRunner\n" + "class Runner(BaseRunner): ...\n" * 2
    with pytest.raises(
        UsageError, match=r"^The cell cannot be deployed: There are 2 classes Runner \(line 2, line 3\)"
    ):
        shell.run_cell_magic("algorithm", "times@1.0", cell)
    assert len(workbench.current().algorithms.list()) == 0


def test_a_background_run_returns_at_once(deployed: InteractiveShell, tmp_path: Path) -> None:
    code = generic("import time\ntime.sleep(0.3)\nreturn [d['data'] for d in data]")
    write_algorithm(tmp_path / "slow", "slow", code, type="Generic")
    run = deployed.run_line_magic("algorun", "./slow volume -b -o later")
    assert run.status in {"PENDING", "STARTED", "RUNNING"}
    assert deployed.user_ns["later"] is run
    assert run.wait(10).status == "COMPLETED"


def test_a_failed_run_raises_when_its_result_was_asked_for(
    deployed: InteractiveShell, tmp_path: Path
) -> None:
    write_algorithm(tmp_path / "bad", "bad", generic("raise ValueError('look here')"), type="Generic")
    assert deployed.run_line_magic("algorun", "./bad volume").status == "FAILED"
    with pytest.raises(RunFailedError, match="look here"):
        deployed.run_line_magic("algorun", "./bad volume -o clean")


def test_debug_raises_what_the_algorithm_raised(deployed: InteractiveShell, tmp_path: Path) -> None:
    write_algorithm(tmp_path / "bad", "bad", generic("raise ValueError('look here')"), type="Generic")
    with pytest.raises(ValueError, match="look here"):
        deployed.run_line_magic("algorun", "./bad volume --debug")


def test_magics_are_gone_after_unload(shell: InteractiveShell) -> None:
    shell.run_line_magic("unload_ext", "workbench")
    assert shell.find_line_magic("algorun") is None
    shell.run_line_magic("load_ext", "workbench")
    assert shell.find_line_magic("algorun") is not None


def test_every_magic_has_help(shell: InteractiveShell) -> None:
    for name in ("workbench", "algodeploy", "algols", "algorun", "algoform", "algojobs"):
        text = shell.find_line_magic(name).__doc__
        assert f"%{name}" in text or "usage" in text.lower() or "::" in text
        assert len(text.splitlines()) > 3


def _complete(shell: InteractiveShell, line: str) -> list[str]:
    return complete(shell, line)[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%algorun inv", "invert"),
        ("%algorun invert@", "invert@1.0"),
        ("r = %algorun invert volume ga", "gain="),
        ("%algorun --de", "--debug"),
        ("%algorun invert volume -x ", "kernel"),
        ("%algorun invert volume -d c", "cpu"),
        ("%algols --type Image2I", "Image2Image"),
        ("%algorun invert vol", "volume"),
        ("%algorun invert volume ga", "gain="),
        ("%algoform inv", "invert"),
        ("%algodeploy inv", "invert/"),
        ("%algorun invert raw", "raw-stack"),
    ],
)
def test_tab_completes(deployed: InteractiveShell, line: str, expected: str) -> None:
    workbench.current().datasets.put({"data": np.zeros(3)}, name="raw-stack")
    assert any(c.startswith(expected) for c in _complete(deployed, line)), _complete(deployed, line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("%algorun invert volume ga", ["gain="]), ("%algorun invert@1.", ["invert@1.0"]), ("imp", ["import"])],
)
def test_ipython_itself_offers_the_completions_and_nothing_else(
    deployed: InteractiveShell, line: str, expected: list[str]
) -> None:
    deployed.Completer.use_jedi = True
    with provisionalcompleter():
        assert [c.text for c in deployed.Completer.completions(line, len(line))] == expected


def test_in_a_terminal_attach_writes_the_log_until_the_end(
    deployed: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run = deployed.run_line_magic("algorun", "-b invert volume")
    followed = deployed.run_line_magic("algojobs", f"{run.id} attach")
    assert followed.status == "COMPLETED"
    assert capsys.readouterr().out == str(run.log)


def test_a_semicolon_silences_the_output(deployed: InteractiveShell) -> None:
    assert deployed.run_line_magic("algorun", "invert volume gain=3.0;") is None
    assert workbench.current().runs.list()[0].parameters["gain"] == 3.0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b=1", ["a", "b=1"]),
        ("a 'b c' \"d='e'\"", ["a", "b c", "d='e'"]),
        ("a x=[1,2] #not-a-comment", ["a", "x=[1,2]", "#not-a-comment"]),
        ("", []),
    ],
)
def test_lines_are_split_as_a_shell_does(line: str, words: list[str]) -> None:
    assert split_line(line) == words


def test_the_line_that_is_written_is_the_line_that_is_read(deployed: InteractiveShell) -> None:
    from workbench.commands.words import read_parameters, split_words, write_call

    class Stub:
        parameters: Any = workbench.current().algorithms.get("invert").parameters

    line = write_call("invert@1.0", ["volume"], {"gain": 2.5})
    name, *words = split_line(line.removeprefix("%algorun "))
    inputs, assignments = split_words(words)
    assert (name, inputs) == ("invert@1.0", ["volume"])
    assert read_parameters(Stub, assignments) == {"gain": 2.5}  # type: ignore[arg-type]


def test_b_starts_a_run_that_outlives_the_kernel(deployed: InteractiveShell) -> None:
    run = deployed.run_line_magic("algorun", "invert volume -b -o later")
    assert deployed.user_ns["later"] is run
    assert run.record.executor == "process"
    assert run.wait(30).status == "COMPLETED"
    log = deployed.run_line_magic("algojobs", f"{run.id} log")
    assert "inverting" in log


def test_a_run_is_reused_by_a_flag_and_tells_why(deployed: InteractiveShell) -> None:
    first = deployed.run_line_magic("algorun", "invert@1 volume gain=2.0")
    reused = deployed.run_line_magic("algorun", "invert@1 volume gain=2.0 --reuse auto -o clean")
    assert reused.reused_from == first.id
    volume = deployed.user_ns["volume"]
    np.testing.assert_array_equal(deployed.user_ns["clean"], (volume.max() - volume) * 2.0)
    assert deployed.run_line_magic("algowhy", "").run_id == reused.id
    other = deployed.run_line_magic("algorun", "invert@1 volume gain=3.0 --reuse auto")
    assert "gain: 2.0 -> 3.0" in repr(deployed.run_line_magic("algowhy", other.id))
    with pytest.raises(UsageError, match="The nearest is run"):
        deployed.run_line_magic("algorun", "invert@1 volume gain=4.0 --reuse only")
    with pytest.raises(UsageError, match="invalid choice"):
        deployed.run_line_magic("algorun", "invert volume --reuse maybe")
    with pytest.raises(UsageError, match="There is no run 'nothing'"):
        deployed.run_line_magic("algowhy", "nothing")
    assert other.id in _complete(deployed, "%algowhy ")
    assert "--reuse" in _complete(deployed, "%algorun invert --re")


def test_the_newest_run_is_called_last(deployed: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="no run yet"):
        deployed.run_line_magic("algojobs", "last")
    deployed.run_line_magic("algorun", "invert volume")
    newest = deployed.run_line_magic("algorun", "invert volume")
    assert deployed.run_line_magic("algojobs", "last").id == newest.id
    assert str(deployed.run_line_magic("algojobs", "last log")) == str(newest.log)
    assert "last" in _complete(deployed, "%algojobs ")


def test_why_without_any_run_says_what_to_do(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="There is no run yet"):
        shell.run_line_magic("algowhy", "")


def test_a_pipeline_is_replayed_and_its_nodes_shown(deployed: InteractiveShell) -> None:
    deployed.run_cell(
        "from workbench import Node, Pipeline\n"
        "class Held: pass\nheld = Held()\n"
        "nodes = [Node('invert', '__pipeline_input__'), Node(lambda x: x * 2 if held else x, 'invert', name='double')]\n"
        "pipe = Pipeline(nodes, 'shown')\nrun = pipe.run(volume)"
    )
    run = deployed.user_ns["run"]
    again = deployed.run_line_magic("algoreplay", run.id)
    assert [node.verdict for node in again.nodes] == ["identical", "not replayed"]
    assert "global &#x27;held&#x27; is a Held" in again._repr_html_()
    again = deployed.run_line_magic("algoreplay", f"{run.id} --pipeline pipe")
    assert "Of 2 nodes: 2 identical." in again._repr_html_()
    with pytest.raises(UsageError, match="which is no pipeline"):
        deployed.run_line_magic("algoreplay", f"{run.node('invert').id} --pipeline pipe")


def test_a_run_is_replayed_and_its_lineage_drawn(deployed: InteractiveShell) -> None:
    run = deployed.run_line_magic("algorun", "invert volume gain=2.0")
    again = deployed.run_line_magic("algoreplay", "last --atol 0.1")
    assert again.original.id == run.id
    assert again.is_identical
    assert run.id in deployed.run_line_magic("algolineage", run.id).nodes
    made = run.datasets[0].id
    assert set(deployed.run_line_magic("algolineage", f"{made} --direction up").nodes) > {made, run.id}
    with pytest.raises(UsageError, match="rtol"):
        deployed.run_line_magic("algoreplay", "--rtol -1")
    assert run.id in _complete(deployed, "%algoreplay ")
    assert run.id in _complete(deployed, "%algolineage ")
