"""Settings: what wins over what, and what wrong ones say."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import InvalidInputError
from workbench.settings import Settings, load


def test_arguments_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text('url = "bench"\nthreads = 2\ndevice = "cpu"\npage_size = 7\n')
    environ = {"WORKBENCH_THREADS": "3", "WORKBENCH_DEVICE": "mps", "OTHER": "x"}
    settings, sources = load({"device": "cuda", "executor": None}, environ=environ, start=tmp_path)
    assert (settings.device, settings.threads, settings.page_size, settings.executor) == (
        "cuda",
        3,
        7,
        "kernel",
    )
    assert [sources[k].origin for k in ("device", "threads", "executor")] == [
        "argument",
        "$WORKBENCH_THREADS",
        "default",
    ]
    assert sources["page_size"].origin == str(tmp_path / "workbench.toml")


def test_the_file_is_found_upwards_and_its_url_is_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text('url = "data/bench"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    settings, _ = load(environ={}, start=below)
    assert settings.url == str(tmp_path / "data" / "bench")


@pytest.mark.parametrize(
    ("toml", "environ", "match"),
    [
        ("url = ", {}, "not valid TOML"),
        ("devise = 'cpu'", {}, "Did you mean 'device'"),
        ("threads = 0", {}, r"'threads' is 0 \(from .*workbench.toml\)"),
        ("", {"WORKBENCH_LOG_LEVEL": "LOUD"}, r"'LOUD' \(from \$WORKBENCH_LOG_LEVEL\)"),
        ("", {"WORKBENCH_STORAGE_OPTIONS": "{"}, "not valid JSON"),
    ],
)
def test_wrong_settings_name_their_source(
    tmp_path: Path, toml: str, environ: dict[str, str], match: str
) -> None:
    (tmp_path / "workbench.toml").write_text(toml)
    with pytest.raises(InvalidInputError, match=match):
        load(environ=environ, start=tmp_path)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
