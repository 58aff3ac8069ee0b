"""`@weblab.reserve`: the lab chooses a bench before the session is there; and `acquire` inside `on_start`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import labkit
from labkit import Wish
from labkit.devices.wish import WishError
from labkit.errors import SafeStateError
from labkit.store.reservations import Duty
from tests.small_lab import MakeLab, SmallLab
from tests.toy import wait_until

FEATURES = {"bench-1": ["uno"], "bench-2": ["uno", "camera"], "bench-3": ["uno", "camera"]}


@pytest.fixture
def make_three(make: MakeLab) -> MakeLab:
    """Makes a lab with three benches."""
    return partial(make, devices=["toy"], benches=3, features=FEATURES)


@pytest.fixture
def lab(make_three: MakeLab) -> SmallLab:
    return make_three()


def choosing(lab: SmallLab, choose: Callable[[dict[str, Any], dict[str, Any]], Any]) -> SmallLab:
    lab.weblab.reserve(choose)
    return lab.up()


def bench_of(lab: SmallLab, session_id: str) -> str:
    (bench,) = lab.read(session_id).fences
    return bench


def refused(lab: SmallLab, **client: Any) -> tuple[int, str]:
    answer = lab.post_start(client=client)
    assert answer.get_json()["error"] is True
    return answer.status_code, answer.get_json()["message"]


@pytest.mark.parametrize(
    ("given", "bench"),
    [
        (None, "bench-1"),
        ("", "bench-1"),
        ("bench-3", "bench-3"),
        (Wish(), "bench-1"),
        (Wish("bench-2"), "bench-2"),
        (Wish(features=["camera"]), "bench-2"),
        (Wish(features=("camera", "uno")), "bench-2"),
        (Wish(bench="bench-3", features=["camera"]), "bench-3"),
    ],
)
def test_what_reserve_returns_is_what_the_session_gets(lab: SmallLab, given: Any, bench: str) -> None:
    choosing(lab, lambda client, server: given)
    assert bench_of(lab, lab.start()) == bench


def test_wish_keeps_the_features_that_a_generator_gave() -> None:
    wish = Wish(features=(word for word in ("camera", "uno")))  # type: ignore[arg-type] # but people write it
    assert wish.features == ("camera", "uno")


def test_reserve_sees_what_the_rlms_said_and_runs_before_on_start(lab: SmallLab) -> None:
    acts: list[Any] = []

    @lab.weblab.on_start
    def start(client_data: dict[str, Any], server_data: dict[str, Any]) -> None:
        acts.append(("on_start", list(lab.weblab.devices)))

    def choose(client_data: dict[str, Any], server_data: dict[str, Any]) -> Any:
        acts.append((client_data, server_data["request.username"], lab.weblab.lab.app.config["TESTING"]))
        return client_data["board"]

    choosing(lab, choose)
    lab.start(client={"board": "bench-2"})
    assert acts == [({"board": "bench-2"}, "ada", True), ("on_start", ["bench-2/toy"])]


def test_benches_with_the_features_are_taken_in_turn(lab: SmallLab) -> None:
    choosing(lab, lambda client, server: Wish(features=["camera"]))
    got = []
    for _ in range(4):
        session = lab.start()
        got.append(bench_of(lab, session))
        lab.dispose(session)
        lab.wait_free(got[-1])
    assert got == ["bench-2", "bench-3", "bench-2", "bench-3"]


def test_wish_that_is_busy_names_only_the_benches_that_fit(lab: SmallLab) -> None:
    choosing(lab, lambda client, server: Wish(features=["camera"]))
    lab.start()
    lab.start()
    status, message = refused(lab)
    assert status == 503
    assert "bench-2 is reserved by another session since" in message
    assert "bench-3 is reserved by another session since" in message
    assert "bench-1" not in message


def test_bench_of_the_wish_that_can_not_be_made_ready_is_followed_by_one_that_fits_too(lab: SmallLab) -> None:
    choosing(lab, lambda client, server: Wish(features=["camera"]))
    lab.worlds["bench-2/toy"].failing["make_safe"] = SafeStateError("red reads back 1")
    assert bench_of(lab, lab.start()) == "bench-3"
    told = "bench-2 is out of service: its device bench-2/toy is faulty (SafeStateError: red reads back 1)"
    wait_until(lambda: told in refused(lab)[1], told)  # its host may tell it a moment after the start
    assert refused(lab)[0] == 503


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("bench-9", "There is no bench bench-9."),
        (Wish(features=["lift"]), "There is no bench with the feature 'lift'."),
        (Wish("bench-1", ["camera", "lift"]), "There is no bench bench-1 with the features 'camera', 'lift'."),
    ],
)
def test_wish_that_no_bench_can_fit_is_a_bad_request_that_names_it_and_what_there_is(
    lab: SmallLab, given: Any, message: str
) -> None:
    """Not 503: an RLMS would take the lab for broken, for something that a student's data may ask for."""
    choosing(lab, lambda client, server: given)
    there = "There are: bench-1 (uno); bench-2 (camera, uno); bench-3 (camera, uno)."
    assert refused(lab) == (400, f"{message} {there}")
    lab.wait_free()


@pytest.mark.parametrize("given", [5, ["camera"], ("bench-1",), True, {"bench": "bench-1"}, b"bench-1"])
def test_anything_else_is_a_failed_start_that_says_what_to_return(lab: SmallLab, given: Any) -> None:
    choosing(lab, lambda client, server: given)
    status, message = refused(lab)
    assert status == 503
    assert message.startswith(f"@weblab.reserve returned {given!r}. It must return None (any bench)")
    lab.wait_free()


@pytest.mark.parametrize(
    "arguments",
    [
        {"bench": 5},
        {"features": "camera"},
        {"features": [5]},
        {"bench": "two words"},
        {"bench": "-"},
        {"features": ["a b"]},
    ],
)
def test_wish_that_makes_no_sense_is_refused_when_it_is_made(arguments: dict[str, Any]) -> None:
    with pytest.raises(WishError):
        Wish(**arguments)


def test_reserve_that_raises_fails_the_start_and_holds_nothing(lab: SmallLab, caplog: pytest.LogCaptureFixture) -> None:
    choosing(lab, lambda client, server: client["board"])
    assert refused(lab) == (503, "The lab failed: KeyError. Its log says more.")
    lab.wait_free()
    assert bench_of(lab, lab.start(client={"board": "bench-2"})) == "bench-2"


def test_setting_for_one_bench_stands_above_the_wish(make_three: MakeLab) -> None:
    lab = choosing(make_three(LABKIT_BENCH="bench-2"), lambda client, server: Wish(client.get("bench", ""), ["camera"]))
    assert bench_of(lab, lab.start()) == "bench-2"
    assert refused(lab, bench="bench-3") == (
        400, "This lab gives only the bench bench-2 (LABKIT_BENCH), not 'bench-3'.",
    )  # fmt: skip


def test_lab_that_acquires_by_itself_is_not_asked(make_three: MakeLab) -> None:
    def never(client: Any, server: Any) -> None:
        raise AssertionError("asked")

    lab = choosing(make_three(LABKIT_ACQUIRE=False), never)
    assert lab.read(lab.start()).fences == {}


def test_reserve_can_be_registered_once(lab: SmallLab) -> None:
    lab.weblab.reserve(lambda client, server: None)
    with pytest.raises(ValueError, match="reserve is registered already"):
        lab.weblab.reserve(lambda client, server: None)
    assert labkit.Wish is Wish


def test_drained_bench_is_refused_with_the_reason_for_the_rlms_to_read(lab: SmallLab) -> None:
    choosing(lab, lambda client, server: client.get("bench"))
    lab.lab.reservations.set_duty("bench-2", Duty.DRAINED, "exam on Monday")
    status, message = refused(lab, bench="bench-2")
    assert status == 503
    assert message.startswith("bench-2 is given to nobody new since ")
    assert message.endswith(" UTC (exam on Monday).")
    assert bench_of(lab, lab.start()) == "bench-1"


# -- acquire, inside on_start


def acquiring(lab: SmallLab, *wishes: dict[str, Any]) -> list[Any]:
    """A lab whose on_start acquires these one after another; what it got, and then what went wrong."""
    got: list[Any] = []

    @lab.weblab.on_start
    def start(client_data: dict[str, Any], server_data: dict[str, Any]) -> None:
        for wish in wishes:
            got.append(lab.weblab.devices.acquire(**wish))  # noqa: PERF401 - what was acquired before one that fails

    lab.up()
    return got


def test_second_bench_is_acquired_by_its_features(lab: SmallLab) -> None:
    got = acquiring(lab, {"features": ["camera"]}, {"features": ["camera"]})
    session = lab.start()
    assert got == [["bench-2/toy"], ["bench-3/toy"]]
    assert sorted(lab.read(session).fences) == ["bench-1", "bench-2", "bench-3"]


def test_acquire_is_all_or_nothing_and_a_start_that_fails_gives_everything_back(lab: SmallLab) -> None:
    got = acquiring(lab, {"bench": "bench-2"}, {"features": ["lift"]})
    status, message = refused(lab)
    assert (status, got) == (503, [["bench-2/toy"]])
    assert message.startswith("There is no bench with the feature 'lift'.")
    for bench in FEATURES:
        lab.wait_free(bench)


def test_session_that_acquires_its_own_bench_is_told_that_it_has_it(lab: SmallLab) -> None:
    acquiring(lab, {"bench": "bench-1"})
    status, message = refused(lab)
    assert status == 503
    assert message.startswith("bench-1 is this session's own already since ")
    assert "another session" not in message


def test_bench_that_fails_while_it_is_acquired_is_given_back_and_the_next_one_taken(lab: SmallLab) -> None:
    got = acquiring(lab, {"features": ["camera"]})
    lab.worlds["bench-2/toy"].failing["make_safe"] = SafeStateError("red reads back 1")
    session = lab.start()
    assert got == [["bench-3/toy"]]
    assert sorted(lab.read(session).fences) == ["bench-1", "bench-3"]
    wait_until(lambda: lab.benches()["bench-2"].devices[0].hold == "none", "bench-2 to be given back")
