"""What RLMS really send to start a session, and what is refused, by its key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BadRequestError
from labkit.sessions import StartRequest
from labkit.web.start_request import parse_start

LENGTH, START, NAME = "priority.queue.slot.length", "priority.queue.slot.start", "request.username"
MOMENT = datetime(2026, 11, 22, 9, 33, 46, 835664, UTC).timestamp()


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is UTC+5."""
    monkeypatch.setenv("TZ", "XXX-5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def parse(server: dict[str, Any] | None = None, **body: Any) -> StartRequest:
    facts = {NAME: "ada", LENGTH: 60, **(server or {})}
    facts = {key: value for key, value in facts.items() if value is not ...}
    return parse_start({"server_initial_data": facts, **body})


def refused(key: str, server: dict[str, Any] | None = None, **body: Any) -> str:
    with pytest.raises(BadRequestError) as error:
        parse(server, **body)
    assert error.value.key == key
    assert key in str(error.value)
    return str(error.value)


# -- the slot


@pytest.mark.parametrize(("given_", "length"), [("200.0", 200.0), ("180", 180.0), (8, 8.0), (0.1, 0.1), ("0.1", 0.1)])
def test_length_comes_as_text_or_number(given_: Any, length: float) -> None:
    assert parse({LENGTH: given_}).slot_length == length


@pytest.mark.parametrize(
    "given_",
    [..., None, "", "soon", "nan", "inf", "-inf", 0, -1, "0", True, [], {}, 366 * 24 * 3600 + 1, "1e400", 10**400],
)
def test_length_that_is_none_is_refused(given_: Any) -> None:
    refused(LENGTH, {LENGTH: given_})


def test_start_may_be_missing() -> None:
    assert parse().slot_start is None


@pytest.mark.parametrize("given_", ["1795340026.84", 1795340026.84, 1795340026])
def test_timestamp_is_preferred(given_: Any) -> None:
    request = parse({f"{START}.timestamp": given_, START: "2001-01-01 00:00:00", f"{START}.utc": "2001-01-01 00:00:00"})
    assert request.slot_start == float(given_)


@pytest.mark.usefixtures("far_from_utc")
def test_utc_comes_before_the_local_time() -> None:
    request = parse({f"{START}.utc": "2026-11-22 09:33:46.835664", START: "2026-11-22 14:33:46.835664"})
    assert request.slot_start == MOMENT


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22 14:33:46.835664", MOMENT),
        ("2026-11-22 14:33:46", MOMENT - 0.835664),
        ("2026-11-22T09:33:46.835664+00:00", MOMENT),
        ("2026-11-22T11:33:46.835664+02:00", MOMENT),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_date_is_local_or_says_its_zone(text: str, moment: float) -> None:
    assert parse({START: text}).slot_start == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize("given_", ["yesterday", 17, [], "2026-13-40 00:00:00", "", True])
def test_date_that_is_none_is_refused(given_: Any) -> None:
    refused(START, {START: given_})


@pytest.mark.parametrize("given_", ["noon", True, [], "nan", ""])
def test_timestamp_that_is_none_is_refused(given_: Any) -> None:
    refused(f"{START}.timestamp", {f"{START}.timestamp": given_})


# -- the user


def test_documented_example_is_enough() -> None:
    user = parse().user
    assert (user["username"], user["username_unique"], user["back"], user["experiment_id"]) == (
        "ada",
        "ada",
        None,
        None,
    )


def test_everything_that_comes_is_kept() -> None:
    user = parse(
        {
            "request.username.unique": "ada@uni",
            "request.full_name": "Ada Lovelace",
            "request.locale": "en",
            "request.experiment_id.experiment_name": "uno",
            "request.experiment_id.category_name": "Boards",
            "weblab_reservation_id": "r-1",
            "something.new": [1, {"a": None}],
        },
        client_initial_data={"colour": "red"},
        back="https://rlms.invalid/back",
    ).user
    assert user["experiment_id"] == "uno@Boards"
    assert (user["username_unique"], user["full_name"], user["locale"]) == ("ada@uni", "Ada Lovelace", "en")
    assert user["client_data"] == {"colour": "red"}
    assert user["server_data"]["something.new"] == [1, {"a": None}]
    assert user["back"] == "https://rlms.invalid/back"


@pytest.mark.parametrize("key", ["request.full_name", "request.locale", "request.experiment_id.category_name"])
@pytest.mark.parametrize("value", [None, "", ...])
def test_what_may_be_missing_may_be_null_or_empty(key: str, value: Any) -> None:
    assert parse({key: value}).user["username"] == "ada"


@pytest.mark.parametrize("value", [None, "", ...])
def test_user_name_can_not_be_missing(value: Any) -> None:
    refused(NAME, {NAME: value})


@pytest.mark.parametrize("value", [[], {}, True])
def test_name_that_is_no_text_is_refused(value: Any) -> None:
    refused(NAME, {NAME: value})


@pytest.mark.parametrize("value", [None, {}])
def test_client_data_may_be_null(value: Any) -> None:
    assert parse(client_initial_data=value).user["client_data"] == {}


@pytest.mark.parametrize("value", [[], "x", 1])
def test_data_that_is_no_object_is_refused(value: Any) -> None:
    refused("client_initial_data", client_initial_data=value)
    with pytest.raises(BadRequestError, match="server_initial_data"):
        parse_start({"server_initial_data": value})


def test_no_server_data_is_refused_by_what_is_missing() -> None:
    with pytest.raises(BadRequestError, match=r"request\.username"):
        parse_start({})


def test_back_that_is_no_text_is_refused() -> None:
    refused("back", back=17)
    assert parse(back="").user["back"] is None


def test_numbers_come_as_names_too() -> None:
    assert parse({NAME: 17, "request.username.unique": 18}).user["username_unique"] == "18"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
keys = st.sampled_from([LENGTH, START, f"{START}.timestamp", f"{START}.utc", NAME, "request.locale", "x"])


@given(server=st.dictionaries(keys, json_values), back=json_values, client=json_values)
def test_whatever_comes_is_read_or_refused_by_its_key(server: dict[str, Any], back: Any, client: Any) -> None:
    key, length = "", 0.0
    try:
        length = parse_start({"server_initial_data": server, "back": back, "client_initial_data": client}).slot_length
    except BadRequestError as error:
        key = error.key
    assert bool(key) != (0 < length < 10**9)
