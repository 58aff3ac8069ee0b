"""Tests on real kernel devices. They run only in the virtual machine of `make test-hardware` (see README.md).

Everywhere else nothing of this folder is collected: the machine's commands and devices are not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hardware.hands import FarEnd, RecordingLink, plug_all

collect_ignore_glob = [] if os.environ.get("LABKIT_HARDWARE") else ["test_*.py"]


@pytest.fixture(autouse=True)
def everything_plugged() -> Iterator[None]:
    """Each test finds every device in its place, whatever the one before has pulled out."""
    plug_all()
    yield
    plug_all()


@pytest.fixture
def link(tmp_path: Path) -> RecordingLink:
    folder = tmp_path / "link"
    folder.mkdir()
    return RecordingLink(folder)


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    with FarEnd() as far_end:
        yield far_end
