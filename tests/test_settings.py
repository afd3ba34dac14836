"""Settings: what wins over what, and what wrong ones say."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import InvalidInputError
from workbench.settings import Settings, accepted, load


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


def test_sizes_may_have_units_and_are_shown_with_them(tmp_path: Path) -> None:
    (tmp_path / "workbench.toml").write_text("data_cache = 1000\nsession_bytes = '1.5 GB'")
    settings, sources = load(
        {"session_quota": "10GiB"}, environ={"WORKBENCH_MEMORY_BUDGET": "512 MiB"}, start=tmp_path
    )
    assert settings.memory_budget == 512 << 20
    assert (settings.data_cache, settings.session_bytes) == (1000, 1_500_000_000)
    assert [sources[name].text for name in ("memory_budget", "session_quota", "data_cache")] == [
        "512.0 MiB",
        "10.0 GiB",
        "1000 B",
    ]
    for wrong in ("0", "5 parsecs", "-1"):
        with pytest.raises(InvalidInputError, match="'memory_budget' is"):
            load({"memory_budget": wrong}, environ={}, start=tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "workers",
            "many",
            "'many' (from argument), expected a whole number from 1 to 1000. It means: Background",
        ),
        ("threads", 1.5, "1.5 (from argument), expected a whole number, 1 or more."),
        ("host_idle_s", "soon", "'soon' (from argument), expected a number larger than 0."),
        ("share_gpu", "perhaps", "expected true or false."),
        ("durability", "disk", "expected process or fsync."),
        ("log_level", "debug", "expected DEBUG, INFO, WARNING or ERROR. Did you mean 'DEBUG'?"),
        ("reuse", "autos", "expected never, auto or only. Did you mean 'auto'?"),
        ("device", "tpu", "expected auto, cpu, gpu, cuda, cuda:1 or mps."),
        ("data_cache", "lots", "expected a number of bytes, or a text such as '8 GiB' or '500 MB'."),
        ("memory_budget", "0", "or a text such as '8 GiB' or '500 MB', 1 or more."),
        ("notebook_preload", 3, "expected a list of names; in the environment with commas between them."),
        ("executor", 3, "expected text."),
        (
            "storage_options",
            "key=secret",
            "is str (from argument), expected a table; in the environment JSON",
        ),
    ],
)
def test_a_wrong_setting_says_what_is_accepted(
    name: str, value: object, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load({name: value}, environ={}, start=tmp_path)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"Setting {name!r} is ")
    for word in ("Input should", "Value error", "could not", "secret"):
        assert word not in str(caught.value)


def test_for_every_setting_there_are_words_of_what_is_accepted() -> None:
    words = {name: accepted(name) for name in Settings.model_fields}
    assert {name for name, text in words.items() if text == "text"} == {
        *("url", "catalog", "executor", "host_folder", "session_folder", "session_spill")
    }


def test_a_variable_that_is_no_setting_is_warned_of_once(tmp_path: Path) -> None:
    environ = {"WORKBENCH_MEMORY_BUGDET": "1", "WORKBENCH_WORKERS": "2"}
    with pytest.warns(UserWarning, match="Did you mean 'WORKBENCH_MEMORY_BUDGET'"):
        settings, _ = load(environ=environ, start=tmp_path)
    assert settings.workers == 2
    load(environ=environ, start=tmp_path)  # a second warning would be an error here


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_device_that_does_not_exist_is_refused_with_where_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"'device' is 'tpu' \(from \$WORKBENCH_DEVICE\).*cpu, gpu, cuda"
    ):
        load(environ={"WORKBENCH_DEVICE": "tpu"}, start=tmp_path)
    assert load(environ={"WORKBENCH_DEVICE": "cuda:1"}, start=tmp_path)[0].device == "cuda:1"
