"""The generic lab: settings, and credentials that nobody has to choose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.cli.credentials import kept_credentials
from labkit.cli.generic import generic_app
from labkit.errors import InvalidConfigError
from labkit.lab import Lab
from tests.cli.program import BENCH


def lab_of(folder: Path, **environment: str) -> Lab:
    lab: Lab = generic_app(folder, environment).extensions["weblab"].lab
    return lab


def test_environment_stands_above_the_file_and_the_file_above_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "labkit.toml").write_text('LABKIT_TITLE = "file"\nWEBLAB_TIMEOUT = 40\n')
    settings = lab_of(tmp_path, LABKIT_TITLE="environment", UNKNOWN="x").settings
    assert settings.title == "environment"
    assert settings.timeout == 40
    assert settings.poll_interval == 5


def test_lab_is_called_like_its_folder_and_lives_in_it(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    assert lab.title == tmp_path.name
    assert lab.instance == tmp_path / "instance"
    assert lab.devices_folder == tmp_path / "devices"


def test_declarations_are_those_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "bench-1.toml").write_text(BENCH)
    assert list(lab_of(tmp_path).catalog.benches) == ["bench-1"]


def test_credentials_that_are_missing_are_random_private_and_stay(tmp_path: Path) -> None:
    first, again = lab_of(tmp_path), lab_of(tmp_path)
    other = lab_of(tmp_path / "other", LABKIT_INSTANCE=str(tmp_path / "elsewhere"))
    assert len(first.settings.password) >= 30
    assert first.settings.password == again.settings.password != other.settings.password
    assert first.app.secret_key == again.app.secret_key != first.settings.password
    assert (tmp_path / "instance" / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "elsewhere" / "credentials.json").is_file()


def test_credentials_that_are_given_count(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, WEBLAB_USERNAME="ada", WEBLAB_PASSWORD="p", SECRET_KEY="s")
    assert (lab.settings.username, lab.settings.password, lab.app.secret_key) == ("ada", "p", "s")


def test_processes_that_come_at_once_get_the_same_credentials(tmp_path: Path) -> None:
    found: list[dict[str, str]] = []
    together = threading.Barrier(8)

    def come() -> None:
        together.wait()
        found.append(kept_credentials(tmp_path / "instance"))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({tuple(credentials.items()) for credentials in found}) == 1
    assert [path.name for path in (tmp_path / "instance").iterdir()] == ["credentials.json"]


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_text("{}"), lambda path: path.write_text("no"), lambda path: path.mkdir()]
)
def test_credentials_that_cannot_be_read_are_named(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(tmp_path / "credentials.json")
    with pytest.raises(InvalidConfigError, match=r"credentials in .*credentials\.json can't be"):
        kept_credentials(tmp_path)
