"""More time for who is tried than the contract gives it: a busy machine may keep any thread waiting for seconds.

A driver that is deaf, or hangs, is still found out. Used by `trial` and by the contract's tests of good drivers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from labkit.contract import command_rules, hands, life_rules, subject
from labkit.contract.hands import Act
from tests.toy import GUARD

ENDS = 8.0
"""Seconds within which a command ends that was interrupted. The longest pulse takes 10 s where it is deaf to that."""
TURNS = 3

_seems_to_block = Act.blocks


def blocks(act: Act) -> bool:
    """Whether it waits for something; not where its thread only has not had its turn yet, as new ones meanwhile."""
    if not _seems_to_block(act):
        return False
    for _ in range(TURNS):
        turn = threading.Thread(target=time.sleep, args=(0.001,), name="turn")
        turn.start()
        turn.join()
    return not act.ended


def be_patient(patch: Callable[[object, str, object], None], *, ends: float = ENDS) -> None:
    """patch: sets an attribute, as `setattr`. ends: see ENDS."""
    patch(Act, "blocks", blocks)
    patch(subject, "AT_ONCE", GUARD)
    patch(subject, "CLOSE_SECONDS", GUARD)
    for module in (hands, subject, command_rules):
        patch(module, "INTERRUPT_SECONDS", ends)


@pytest.fixture(autouse=True)
def patient_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the modules that import it."""
    be_patient(monkeypatch.setattr)
    monkeypatch.setattr(life_rules, "_SETTLE_SECONDS", GUARD)
