"""Device calls in the store: at most once, to the right host, under the right fence, and never silently lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping

import pytest

from labkit.errors import NotStorableError
from labkit.store.calls import Call, Calls, Reply, Submitted
from labkit.store.connection import Store
from labkit.store.reservations import Blame, Condition
from labkit.store.sessions import EndReason
from tests.store.table import LOOP, OTHER, Table

DEVICE = "bench-1/console"


def call(table: Table, fence: int, **options: object) -> Call:
    facts = {"args": [], **options}
    return Call(device=DEVICE, command="write", fence=fence, until=table.now + 5, **facts)  # type: ignore[arg-type]


def submitted(table: Table, new: Call) -> Submitted:
    answer = table.calls.submit(new)
    assert isinstance(answer, Submitted), answer
    return answer


def take(table: Table, seconds: float = 0.01) -> Call | None:
    return taken_by(table.calls, table.claims, seconds)


def taken_by(calls: Calls, claims: Mapping[str, int], seconds: float) -> Call | None:
    with contextlib.closing(calls.inbox("wake")) as inbox:
        sent = inbox.take(claims, seconds)
    return None if sent is None else Call.load(sent)


@pytest.fixture
def fence(table: Table) -> int:
    """An active session's fence of bench-1."""
    table.host("bench-1")
    return table.fence(table.active())


def test_call_goes_to_the_host_of_the_bench_and_the_reply_back(table: Table, fence: int) -> None:
    new = call(table, fence, args=[b"\x00\xff", 2**53 + 1], kwargs={"n": None}, panel=True)
    submitted(table, new)
    taken = take(table)
    assert taken == new
    assert take(table) is None
    table.calls.reply(new, Reply(value=b"\xff"))
    assert table.calls.wait(new, 1.0) == Reply(value=b"\xff")


def test_reply_has_an_end_from_birth(table: Table, fence: int) -> None:
    new = call(table, fence)
    table.calls.reply(new, Reply(value=1))
    assert 0 < table.store.command("TTL", table.store.keys.of("reply", new.id)) <= 60


def test_calls_are_taken_in_order(table: Table, fence: int) -> None:
    new = [call(table, fence, args=[n]) for n in range(20)]
    for one in new:
        submitted(table, one)
    taken = [take(table) for _ in new]
    assert [one.args[0] for one in taken if one] == list(range(20))


def test_what_can_not_be_stored_is_refused_before_anything_is_sent(table: Table, fence: int) -> None:
    with pytest.raises(NotStorableError):
        table.calls.submit(call(table, fence, args=[object()]))
    assert take(table) is None


@pytest.mark.parametrize("off", [-1, 1])
def test_other_fence_than_the_devices_is_refused(table: Table, fence: int, off: int) -> None:
    answer = table.calls.submit(call(table, fence + off))
    assert isinstance(answer, list)
    assert answer[:2] == ["lost", "reserved"]
    assert take(table) is None


@pytest.mark.parametrize("why", ["time", "logout", "silence"])
def test_session_that_is_over_can_not_call(table: Table, why: str) -> None:
    table.host("bench-1")
    session = table.active(length=100, timeout=50)
    fence = table.fence(session)
    if why == "logout":
        table.sessions.exit(session)
    else:
        table.wait(101 if why == "time" else 51, LOOP)
    assert table.call(fence) == "lost"


@pytest.mark.parametrize("order", ["call first", "end first"])
def test_call_and_end_in_either_order(table: Table, fence: int, order: str) -> None:
    """A call before the end lies with the host, which refuses it by its fence; one after it is refused here."""
    (session,) = table.reservations.holders()
    if order == "call first":
        assert table.call(fence) == "submitted"
        table.end(session)
        taken = take(table)
        assert taken is not None
        assert taken.fence < table.hold(DEVICE)[1]
    else:
        table.end(session)
        assert table.call(fence) == "lost"


def test_own_ending_is_told_from_another_session(table: Table, fence: int) -> None:
    (session,) = table.reservations.holders()
    table.sessions.end(session, EndReason.ADMIN)
    assert table.calls.submit(call(table, fence))[1] == "over"  # type: ignore[index]
    assert table.call(table.claim_ending(session)) == "submitted"


def test_refusals_name_what_is_wrong(table: Table, fence: int) -> None:
    table.report(DEVICE, Condition.FAULTY, "red reads back 1", blame=Blame.DEVICE)
    assert table.calls.submit(call(table, fence)) == ["faulty", "red reads back 1", "device"]
    table.report(DEVICE, Condition.OFFLINE, "unplugged")
    assert table.calls.submit(call(table, fence)) == ["offline", "unplugged", ""]
    table.wait(5)
    assert table.calls.submit(call(table, fence)) == ["no-host"]
    (session,) = table.reservations.holders()
    table.reservations.release(session, "bench-1", fence)
    assert table.call(fence) == "lost"


def test_task_that_was_given_up_can_not_call(table: Table, fence: int) -> None:
    table.store.command("HSET", table.store.keys["running"], "task-1", LOOP)
    assert table.call(fence, task="task-1", process=LOOP) == "submitted"
    assert table.call(fence, task="task-1", process=OTHER) == "task-lost"
    assert table.call(fence, task="task-2", process=LOOP) == "task-lost"


# -- a reply that is asked for together with the call


def asked(table: Table, new: Call, seconds: float = 20.0) -> Submitted:
    answer = table.calls.submit(new, seconds)
    assert isinstance(answer, Submitted), answer
    return answer


def test_reply_that_was_asked_for_with_the_call_comes_once(table: Table, fence: int) -> None:
    sent = asked(table, new := call(table, fence))
    assert take(table) == new
    table.calls.reply(new, Reply(value=[1, b"\xff"]))
    assert table.calls.first_reply(sent) == Reply(value=[1, b"\xff"])
    assert table.calls.first_reply(sent) is None


def test_reply_that_comes_after_that_wait_is_still_there(table: Table, fence: int) -> None:
    sent = asked(table, new := call(table, fence), 0.01)
    assert table.calls.first_reply(sent) is None
    table.calls.reply(new, Reply(value=1))
    assert table.calls.wait(new, 1.0) == Reply(value=1)


def test_refusal_leaves_no_wait_behind(table: Table, fence: int) -> None:
    """The next conversation on the same connection gets its own answers."""
    refused = call(table, fence + 1)
    assert table.calls.submit(refused, 20.0)[0] == "lost"  # type: ignore[index]
    assert not table.store.command("EXISTS", table.store.keys.of("reply", refused.id))
    sent = asked(table, new := call(table, fence))
    table.calls.reply(new, Reply(value="its own"))
    assert table.calls.first_reply(sent) == Reply(value="its own")


def test_replies_of_calls_side_by_side_do_not_mix(table: Table, fence: int) -> None:
    new = [call(table, fence) for _ in range(5)]
    sent = [asked(table, one) for one in new]
    for number, one in reversed(list(enumerate(new))):
        table.calls.reply(one, Reply(value=number))
    assert [table.calls.first_reply(one) for one in sent] == [Reply(value=number) for number in range(5)]


def test_call_goes_through_after_the_store_forgot_its_scripts(table: Table, fence: int) -> None:
    table.store.command("SCRIPT", "FLUSH")
    sent = asked(table, new := call(table, fence))
    assert take(table) == new
    table.calls.reply(new, Reply(value=1))
    assert table.calls.first_reply(sent) == Reply(value=1)


# -- what a caller sees of its host


def test_call_that_nobody_has_taken_can_be_withdrawn(table: Table, fence: int) -> None:
    new = call(table, fence)
    sent = submitted(table, new)
    assert table.calls.watch(new, sent) == (True, False)
    assert table.calls.watch(new, sent, withdraw=True) == (True, True)
    assert take(table) is None


def test_call_that_was_taken_can_not_be_withdrawn(table: Table, fence: int) -> None:
    new = call(table, fence)
    sent = submitted(table, new)
    assert take(table) == new
    assert table.calls.watch(new, sent, withdraw=True) == (True, False)


def test_dead_host_is_seen_and_what_it_never_took_comes_back(table: Table, fence: int) -> None:
    new, taken = call(table, fence), call(table, fence)
    for one in (taken, new):
        sent = submitted(table, one)
    assert take(table) == taken
    table.wait(4.1)
    assert table.calls.watch(taken, sent.__class__(payload=taken.dump(), claim=sent.claim)) == (False, False)
    assert table.calls.watch(new, sent) == (False, True)


def test_new_claim_of_the_same_process_is_another_host(table: Table, fence: int) -> None:
    sent = submitted(table, new := call(table, fence))
    old = dict(table.claims)
    table.host("bench-1")
    assert table.calls.watch(new, sent)[0] is False
    assert taken_by(table.calls, old, 0.01) is None
    assert take(table) is None


# -- the host's wait


def test_call_that_was_asked_for_ahead_is_fetched_by_the_next_take(table: Table, fence: int) -> None:
    with contextlib.closing(table.calls.inbox("wake")) as inbox:
        inbox.ask(table.claims, 20.0)
        assert inbox.asked
        submitted(table, new := call(table, fence))
        sent = inbox.take({}, 20.0)  # what was asked for stands, whatever is claimed by now
        assert sent is not None
        assert Call.load(sent) == new
        assert not inbox.asked
        assert inbox.take(table.claims, 0.01) is None


def test_inbox_follows_its_claims(table: Table, fence: int) -> None:
    with contextlib.closing(table.calls.inbox("wake")) as inbox:
        assert inbox.take({}, 0.01) is None
        submitted(table, new := call(table, fence))
        assert inbox.take({}, 0.01) is None
        assert inbox.take(table.claims, 0.01) == new.dump().encode()


def test_waiting_host_is_woken(store: Store) -> None:
    calls = Calls(store)
    found: list[Call | None] = []
    thread = threading.Thread(target=lambda: found.append(taken_by(calls, {}, 30.0)))
    thread.start()
    calls.wake_host("wake")
    thread.join(20)
    assert found == [None]


def test_wait_for_a_reply_that_never_comes_ends(store: Store) -> None:
    calls = Calls(store)
    assert calls.wait(Call(device=DEVICE, command="write", fence=1, until=0.0), 0.01) is None
