"""What brings a library that is missing, as far as labkit's extras do."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.devices.missing_library import remedy_for


def raised_from(error: Exception, cause: Exception) -> Exception:
    """The error as a driver raises it from another one."""
    try:
        raise error from cause
    except Exception as found:
        return found


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """labkit as it is installed: what its extras bring is in its metadata."""
    folder = tmp_path / "labkit-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: labkit\nVersion: 9\nRequires-Dist: click\n"
        "Requires-Dist: gpiod>=2.2; extra == 'gpio'\nRequires-Dist: av>=14; extra == \"camera\"\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (ModuleNotFoundError("No module named 'gpiod'", name="gpiod"), 'pip install "labkit[gpio]"'),
        (ModuleNotFoundError("No module named 'av.video'", name="av.video"), 'pip install "labkit[camera]"'),
        (
            raised_from(RuntimeError("why"), ModuleNotFoundError("No module named 'av'", name="av")),
            'pip install "labkit[camera]"',
        ),
        (ModuleNotFoundError("No module named 'click'", name="click"), ""),
        (ModuleNotFoundError("No module named 'theirs'", name="theirs"), ""),
        (ImportError("cannot import name 'x'"), ""),
        (ValueError("a bug"), ""),
    ],
)
def test_missing_library_of_an_extra_has_its_command(installed: None, error: Exception, command: str) -> None:
    assert remedy_for(error) == command
