"""Sessions in the store: each script, and each race in both orders."""

from __future__ import annotations

import pytest

from labkit.errors import NotStorableError
from labkit.store.sessions import EndReason, NewSession, SessionState, Started
from tests.store.table import LOOP, OTHER, START, WEB, Table

# -- start


def test_start_writes_the_session_and_reserves_a_bench(table: Table) -> None:
    table.host("bench-1", devices=("console", "leds"))
    session_id, started = table.try_start(length=600)
    assert isinstance(started, Started)
    assert (started.bench, started.max_date) == ("bench-1", START + 600)
    record = table.read(session_id)
    assert (record.state, record.fences, record.user) == (
        SessionState.STARTING,
        {"bench-1": started.fence},
        {"username": "ada"},
    )
    assert {table.hold(f"bench-1/{name}") for name in ("console", "leds")} == {("reserved", started.fence)}


def test_start_that_finds_no_bench_writes_nothing(table: Table) -> None:
    table.host("bench-1")
    first = table.starting()
    session_id, refused = table.try_start()
    assert isinstance(refused, list)
    assert [(row.bench, row.state, float(row.second)) for row in refused] == [("bench-1", "reserved", START + 600)]
    assert first not in str(refused)
    assert (table.state(session_id), table.deadline(session_id)) == (SessionState.UNKNOWN, None)


def test_start_without_a_wish_for_a_bench_reserves_none(table: Table) -> None:
    table.host("bench-1")
    session_id, started = table.try_start("-")
    assert isinstance(started, Started)
    assert (started.bench, table.read(session_id).fences, table.hold("bench-1/console")) == ("", {}, ("none", 0))


def test_start_where_there_is_no_bench_at_all_says_so(table: Table) -> None:
    assert table.try_start()[1] == []


@pytest.mark.parametrize(
    ("ago", "length", "max_date"), [(0.0, 100.0, START + 100), (40.0, 100.0, START + 60), (-500.0, 100.0, START + 100)]
)
def test_session_ends_at_the_earlier_of_start_and_now_plus_length(
    table: Table, ago: float, length: float, max_date: float
) -> None:
    _, started = table.try_start("-", slot_start=START - ago, length=length)
    assert isinstance(started, Started)
    assert started.max_date == pytest.approx(max_date, abs=0.001)


def test_slot_that_is_over_makes_a_session_that_is_over(table: Table) -> None:
    table.host("bench-1")
    session = table.active(slot_start=START - 200, length=100)
    record = table.read(session)
    assert (record.state, record.reason, record.time_left) == (SessionState.OVER, "time", 0.0)
    assert table.call(table.fence(session)) == "lost"
    assert table.sessions.end(session, None) == ("begun", "time")


def test_slot_may_be_a_fraction_of_a_second(table: Table) -> None:
    session = table.active("-", length=0.1)
    table.wait(0.05)
    assert table.state(session) is SessionState.ACTIVE
    table.wait(0.06)
    assert table.state(session) is SessionState.OVER


# -- steps and activation


def test_only_the_owner_can_go_on_with_a_start(table: Table) -> None:
    session = table.starting("-")
    assert table.sessions.step(session, WEB, None, "on-start")
    assert not table.sessions.step(session, OTHER, None, "activate")
    assert table.sessions.activate(session, OTHER) == "lost"
    assert table.read(session).step == "on-start"
    assert table.sessions.activate(session, WEB) == "active"
    assert not table.sessions.step(session, WEB, None, "on-start")


def test_second_activation_is_refused(table: Table) -> None:
    session = table.active("-")
    assert table.sessions.activate(session, WEB) == "lost"


def test_start_that_took_too_long_is_not_activated(table: Table) -> None:
    session = table.starting("-")
    table.wait(120, WEB)
    assert not table.sessions.step(session, WEB, None, "on-start")
    assert table.sessions.activate(session, WEB) == "lost"
    assert table.sessions.end(session, None) == ("begun", "start-failed")


def test_silence_counts_from_the_activation(table: Table) -> None:
    session = table.starting("-", timeout=10.0)
    table.wait(60, WEB)
    assert table.sessions.activate(session, WEB) == "active"
    table.wait(9)
    assert table.state(session) is SessionState.ACTIVE
    table.wait(2)
    record = table.read(session)
    assert (record.state, record.reason) == (SessionState.OVER, "inactivity")


# -- polls


def test_poll_moves_the_silence_on(table: Table) -> None:
    session = table.active("-", timeout=10.0)
    for _ in range(5):
        table.wait(9)
        assert table.sessions.touch(session, poll=True).state is SessionState.ACTIVE
    assert table.deadline(session) == table.now + 10


def test_reading_is_no_poll(table: Table) -> None:
    session = table.active("-", timeout=10.0)
    table.wait(9)
    table.read(session)
    table.wait(2)
    assert table.state(session) is SessionState.OVER


def test_poll_after_the_silence_revives_nothing(table: Table) -> None:
    session = table.active("-", timeout=10.0)
    table.wait(11)
    assert table.sessions.touch(session, poll=True).state is SessionState.OVER
    assert table.state(session) is SessionState.OVER


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_no_timeout_means_never_silent(table: Table, timeout: float) -> None:
    session = table.active("-", timeout=timeout, length=100_000.0)
    table.wait(99_999)
    assert table.state(session) is SessionState.ACTIVE


def test_time_is_over_at_once(table: Table) -> None:
    session = table.active("-", length=100)
    table.wait(100)
    record = table.read(session)
    assert (record.state, record.reason, record.time_left) == (SessionState.OVER, "time", 0.0)


def test_unknown_session_is_unknown(table: Table) -> None:
    record = table.read("nobody")
    assert (record.state, record.fields, record.user, record.now) == (SessionState.UNKNOWN, {}, {}, START)


# -- logout


def test_logout_puts_the_user_out_and_wakes_the_reaper(table: Table) -> None:
    session = table.active("-")
    assert table.sessions.exit(session)
    record = table.sessions.touch(session, poll=True)
    assert (record.state, record.reason, record.exited) == (SessionState.OVER, "logout", True)
    assert session in table.beat(LOOP).due


def test_logout_twice_or_after_the_end_is_no(table: Table) -> None:
    session = table.active("-", length=100)
    assert table.sessions.exit(session)
    assert not table.sessions.exit(session)
    other = table.active("-", length=100)
    table.wait(101)
    assert not table.sessions.exit(other)
    assert table.sessions.end(other, None) == ("begun", "time")
    assert not table.sessions.exit("nobody")


# -- who saw the end, and data


def test_end_is_seen_first_by_one(table: Table) -> None:
    session = table.ending("-")
    assert [table.sessions.first_to_see_end(session) for _ in range(3)] == [True, False, False]
    assert not table.sessions.first_to_see_end("nobody")
    assert table.store.command("EXISTS", table.store.keys.of("session", "nobody")) == 0


def test_only_named_keys_of_the_data_change(table: Table) -> None:
    session = table.active("-")
    assert table.sessions.store_data(session, {"a": 1, "b": b"\x00\xff", "c": {"deep": [1.5, None]}}, [])
    assert table.sessions.store_data(session, {"a": 2}, ["b"])
    assert table.sessions.data(session) == {"a": 2, "c": {"deep": [1.5, None]}}
    assert table.sessions.store_data(session, {"only": True}, [], replace=True)
    assert table.sessions.data(session) == {"only": True}


def test_data_of_a_session_that_is_over_stays(table: Table) -> None:
    session = table.ending("-")
    assert table.sessions.store_data(session, {"in": "on_dispose"}, [])
    table.beat(LOOP)
    table.sessions.finish(session, LOOP, table.claim_ending(session, LOOP), 60)
    assert not table.sessions.store_data(session, {"in": "nothing"}, [])
    assert not table.sessions.store_data("nobody", {"a": 1}, [])
    assert table.sessions.data(session) == {"in": "on_dispose"}
    assert table.store.command("EXISTS", table.store.keys.of("data", "nobody")) == 0


def test_what_is_no_json_is_not_stored(table: Table) -> None:
    session = table.active("-")
    with pytest.raises(NotStorableError):
        table.sessions.store_data(session, {"a": object()}, [])
    assert table.sessions.data(session) == {}


def test_large_numbers_survive(table: Table) -> None:
    session = table.active("-")
    table.sessions.store_data(session, {"n": 2**70, "f": 0.1 + 0.2}, [])
    assert table.sessions.data(session) == {"n": 2**70, "f": 0.1 + 0.2}


def test_due_sessions_are_found(table: Table) -> None:
    table.store.now = None
    session, started = table.try_start("-", length=0.001)
    assert isinstance(started, Started)
    table.store.command("ZADD", table.store.keys["deadlines"], 1, session)
    assert table.sessions.due() == [session]


def test_due_sessions_are_found_at_most_so_many_and_the_oldest_first(table: Table) -> None:
    sessions = [table.active("-") for _ in range(3)]
    for age, session in enumerate(sessions):
        table.store.command("ZADD", table.store.keys["deadlines"], START - age, session)
    assert table.sessions.due(2) == [sessions[2], sessions[1]]


def test_session_that_is_not_due_is_not_found(table: Table) -> None:
    table.active("-")
    assert table.sessions.due() == []


@pytest.mark.parametrize("detail", ["", "two\nlines", "a b 7 7", "Größe", "\N{SNOWMAN}" * 100])
def test_every_field_is_read_as_it_was_written(table: Table, detail: str) -> None:
    session = table.active("-")
    table.sessions.end(session, EndReason.ADMIN, detail=detail)
    stored = table.store.command("HGETALL", table.store.keys.of("session", session))
    fields = table.read(session).fields
    assert fields["detail"] == detail
    assert fields == {key.decode(): value.decode() for key, value in dict(stored).items()}


def test_nul_in_what_went_wrong_separates_no_fields(table: Table) -> None:
    session = table.active("-")
    table.sessions.end(session, EndReason.ADMIN, detail="a\0state\0active")
    record = table.read(session)
    assert (record.state, record.fields["detail"]) == (SessionState.ENDING, "a state active")


def test_nul_in_what_an_rlms_says_of_a_user_separates_no_fields(table: Table) -> None:
    new = NewSession(
        session_id="nul", user={"username": "a\0state\0expired"}, slot_start=None, slot_length=60.0, timeout=0.0,
        start_timeout=60.0, bench="-",
    )  # fmt: skip
    assert isinstance(table.sessions.start(new, WEB), Started)
    record = table.read("nul")
    assert (record.state, record.user["username"]) == (SessionState.STARTING, "a\0state\0expired")


def test_key_that_is_no_text_is_refused_by_name(table: Table) -> None:
    session = table.active("-")
    with pytest.raises(NotStorableError, match="the key 17"):
        table.sessions.store_data(session, {17: "x"}, [])  # type: ignore[dict-item]
    with pytest.raises(NotStorableError, match=r"data\['a'\]\['b'\]\[1\] is of type object"):
        table.sessions.store_data(session, {"a": {"b": [1, object()]}}, [])


# -- events


def test_events_tell_the_way_of_a_session(table: Table) -> None:
    session = table.active("-", length=100)
    table.sessions.exit(session)
    table.end(session, None)
    table.beat(LOOP)
    table.sessions.finish(session, LOOP, table.claim_ending(session, LOOP), 60)
    states = [event["state"] for event in table.events(session)]
    assert states == ["starting", "active", "exited", "ending", "expired"]


def test_waiter_hears_of_an_event(table: Table) -> None:
    session = table.active("-")
    heard = table.sessions.events(session, "0-0", 1.0)
    assert [fields["state"] for _, fields in heard] == [b"starting", b"active"]
    assert table.sessions.events(session, heard[-1][0], 0.01) == []
