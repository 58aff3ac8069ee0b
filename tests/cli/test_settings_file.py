"""`labkit.toml`: settings of a lab without an app."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.cli.settings_file import read_settings_file
from labkit.errors import DeclarationError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labkit.toml"


def test_no_file_is_no_setting(file: Path) -> None:
    assert read_settings_file(file) == {}


def test_settings_have_the_names_that_they_have_everywhere(file: Path) -> None:
    file.write_text('LABKIT_TITLE = "Boards"\nWEBLAB_TIMEOUT = 30\nLABKIT_SIMULATE = true\nSECRET_KEY = "k"\n')
    assert read_settings_file(file) == {
        "LABKIT_TITLE": "Boards", "WEBLAB_TIMEOUT": 30, "LABKIT_SIMULATE": True, "SECRET_KEY": "k"
    }  # fmt: skip


def test_all_mistakes_are_shown_at_once_with_line_and_nearest_name(file: Path) -> None:
    file.write_text(
        'title = "Boards"\nWEBLAB_TIMOUT = 3\nWEBLAB_POLL_INTERVAL = "often"\nLABKIT_BENCH = ["a"]\n[lab]\nx = 1\n'
    )
    with pytest.raises(DeclarationError) as caught:
        read_settings_file(file)
    assert caught.value.problems == [
        "labkit.toml:1: title: unknown key. Did you mean LABKIT_TITLE?",
        "labkit.toml:2: WEBLAB_TIMOUT: unknown key. Did you mean WEBLAB_TIMEOUT?",
        "labkit.toml:3: WEBLAB_POLL_INTERVAL is 'often'; it must be a number of seconds. "
        "Seconds after which the RLMS asks for the status again.",
        "labkit.toml:4: LABKIT_BENCH: must be one value, not a list.",
        "labkit.toml:5: [lab]: unknown table. All settings stand at the top, outside of any table.",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = = 1", "labkit.toml:1:5: not valid TOML: Invalid value."),
        (b'LABKIT_TITLE = "x"\nb = [1,\n', "labkit.toml:2: not valid TOML: "),
        (b"LABKIT_TITLE = '\xff'", "labkit.toml:1: can't be read: it is not UTF-8 text."),
    ],
)
def test_file_that_is_no_toml_is_said_with_its_place(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DeclarationError) as caught:
        read_settings_file(file)
    (said,) = caught.value.problems
    assert said.startswith(problem)
