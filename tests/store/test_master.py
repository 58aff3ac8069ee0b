"""The way to the master of a store: by Sentinels, with passwords, after a fail-over, and away from a replica."""

from __future__ import annotations

import re
import threading

import pytest

from labkit.errors import StoreUnavailableError
from labkit.store.trial import try_store
from labkit.testing.store import StoreServer
from tests.ports import chosen_port
from tests.store.fleet import Fleet, answer_of, opened
from tests.toy import GUARD, wait_until


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only Sentinel of these tests is not to be passed over where the machine stands still for a moment."""
    monkeypatch.setattr("labkit.store.master.ASK_SECONDS", GUARD)


def test_servers_and_sentinels_each_get_their_own_password_also_after_a_fail_over() -> None:
    with Fleet(password="s3cret") as fleet, opened(fleet.url) as store:
        try_store(store)
        store.command("SET", "{lab}:where", "before")
        wait_until(fleet.replica_has_all, "the copy")
        ended: list[Exception] = []

        def wait_long() -> None:
            try:
                store.pop(["{lab}:never"], 600)
            except StoreUnavailableError as error:
                ended.append(error)

        waiting = threading.Thread(target=wait_long)
        waiting.start()
        wait_until(lambda: fleet.master.about("clients")["blocked_clients"] == 1, "the wait")
        fleet.master.end()
        fleet.wait_for_promotion()
        waiting.join(GUARD)
        assert len(ended) == 1
        assert wait_until(lambda: answer_of(store, "GET", "{lab}:where"), "the new master") == b"before"
        try_store(store)


def test_where_no_sentinel_answers_nothing_was_sent_and_no_password_is_told() -> None:
    url = f"redis+sentinel://ada:s3cret@127.0.0.1:{chosen_port()},127.0.0.1:{chosen_port()}/main/0?sentinel_password=s3"
    with opened(url) as store, pytest.raises(StoreUnavailableError) as away:
        store.run("session_seen", "nobody")
    assert not away.value.sent
    assert "none of its Sentinels" in str(away.value)
    assert "s3" not in str(away.value)


def test_a_server_that_becomes_a_replica_is_left_by_all_connections() -> None:
    """Behind a name that leads to the master, the next connection leads to another server."""
    with StoreServer() as server, opened(server.url) as owner, opened(server.url) as store:
        store.run("frames_watched")
        owner.command("REPLICAOF", "127.0.0.1", "1")
        before = owner.command("CLIENT", "ID")
        with pytest.raises(StoreUnavailableError, match="read only") as refused:
            store.run("frames_watched")
        assert not refused.value.sent  # nothing was done, so nobody has to doubt a call
        owner.command("REPLICAOF", "NO", "ONE")
        store.run("frames_watched")
        (clients,) = owner.answers([("CLIENT", "LIST")])
        numbers = [int(number) for number in re.findall(rb"^id=(\d+)", clients, re.MULTILINE)]
        assert len(numbers) >= 3  # the owner's two, and the one that was made since
        assert min(numbers) == before


def test_what_a_user_may_not_do_may_stand_in_the_middle_of_a_script(server: StoreServer) -> None:
    with opened(server.url) as owner:
        owner.command("ACL", "SETUSER", "ada", "reset", "on", ">s3cret", "~*", "&*", "+@all", "-xadd")
        with (
            opened(server.url.replace("unix://", "unix://ada:s3cret@")) as store,
            pytest.raises(StoreUnavailableError, match="xadd") as refused,
        ):
            store.run("frames_watched")
        owner.command("ACL", "DELUSER", "ada")
    assert refused.value.sent
