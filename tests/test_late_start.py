"""A start that reaches the store only after its process has given it up."""

from __future__ import annotations

from typing import NoReturn

import pytest

from labkit.errors import StoreUnavailableError
from labkit.sessions import start_session
from labkit.store.sessions import NewSession, SessionState, Started
from tests.small_lab import MakeLab
from tests.test_sessions import request


def test_start_that_comes_to_the_store_after_it_was_given_up_ends_at_once(
    make: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP sends it again later, while the store knows nothing yet of the session whose end it is asked for."""
    lab = make(devices=["toy"]).up()
    lab.wait_free()
    carry_out, on_their_way = lab.lab.sessions.start, []

    def lose(new: NewSession, owner: str) -> NoReturn:
        on_their_way.append((new, owner))
        raise StoreUnavailableError("The store does not answer.", sent=True)

    with monkeypatch.context() as patch:
        patch.setattr(lab.lab.sessions, "start", lose)
        with pytest.raises(StoreUnavailableError):
            start_session(lab.lab, request())
    ((new, owner),) = on_their_way
    assert lab.state(new.session_id) is SessionState.UNKNOWN
    assert isinstance(carry_out(new, owner), Started)
    lab.wait_state(new.session_id, SessionState.EXPIRED)
    lab.wait_free()
