"""What the tests of the web part share: a small lab in this process."""

from __future__ import annotations

import pytest

from tests.small_lab import MakeLab, SmallLab


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    """A lab without devices, its threads running."""
    return make().up()
