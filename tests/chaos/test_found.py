"""What the chaos runs have found, each as a small test of its own. Fences, tasks and calls have theirs elsewhere."""

from __future__ import annotations

import pytest

from labkit.errors import StoreUnavailableError
from labkit.store.calls import Calls
from labkit.store.connection import Store
from labkit.store.processes import Processes
from labkit.testing.store import StoreServer


def test_a_store_that_forbids_its_user_to_write_refuses_to_work(server: StoreServer) -> None:
    """A script met it; an error of another kind became a status 503, which means "finished" to an RLMS."""
    store = Store(server.url, "lab")
    store.command("ACL", "SETUSER", "default", "-@write")
    try:
        with pytest.raises(StoreUnavailableError, match="refuses to work"):
            Processes(store).beat("here", first=True, roles="", highest_fence=0, benches={})
    finally:
        store.command("ACL", "SETUSER", "default", "+@all")
        store.close()


def test_a_word_for_a_host_has_an_end_or_is_not_left(server: StoreServer) -> None:
    """It was written, and got its end afterwards: a host that died in between left a key for ever."""
    store = Store(server.url, "lab")
    store.command("ACL", "SETUSER", "default", "-expire")
    try:
        with pytest.raises(StoreUnavailableError, match="refuses to work"):
            Calls(store).wake_host("wake")
        assert store.command("EXISTS", store.keys.of("calls", "wake")) == 0
    finally:
        store.command("ACL", "SETUSER", "default", "+@all")
        store.close()
