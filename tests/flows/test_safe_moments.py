"""The five moments at which a device is made safe, and that it is asked for its answer at each of them.

Held against the record at the far end of the tty: the board answers `off` to what makes it safe, or is deaf.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from labkit.store.reservations import Duty
from labkit.testing.board import BoardProcess
from tests.flows.harness import FlowLab
from tests.flows.people import eventually
from tests.flows.visit import SAFE

ON = b"led 1 on\r"
DEAF = "did not answer"
CLAIMED = "bench claimed"
FAILED = "could not be made safe at the end"


def wait_safe(board: BoardProcess, before: int, what: str) -> None:
    """Wait until the board was made safe, after so many bytes that had reached it."""
    eventually(lambda: SAFE in board.received()[before:], what=what)


def test_board_is_made_safe_when_opened_before_and_after_a_session_without_the_store_and_at_the_end(
    make_lab: Callable[..., FlowLab],
) -> None:
    lab = make_lab(append_only=True, settings={"LABKIT_SAFE_AFTER": 5})
    board = lab.boards[0]
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    assert board.received() == SAFE  # opened

    student = lab.rlms.must_start("ada", length=300, client={"write": ON.decode()})
    board.wait_received(ON)
    assert board.received() == SAFE + SAFE + ON  # before the session

    before = len(board.received())
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    assert board.received()[before:].endswith(SAFE)  # at its release, after on_dispose
    lab.wait_free()

    lab.store.command("CONFIG", "SET", "appendfsync", "always")
    before, claims = len(board.received()), logged(lab, CLAIMED)
    lab.store_server.stop(signal.SIGKILL)
    wait_safe(board, before, "made safe without the store")
    lab.store_server.start()
    wait_claimed(lab, claims)
    lab.wait_free()

    lab.rlms.must_start("bob", length=300, client={"write": ON.decode()})
    eventually(lambda: board.received().endswith(ON), what="the led on again")
    before = len(board.received())
    lab.kill(loop, signal.SIGTERM)
    assert board.received()[before:] == SAFE  # SIGTERM
    assert not any(board.control("led?")["leds"].values())


def test_board_that_does_not_answer_is_found_out_at_each_of_these_moments(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab(append_only=True, safe_seconds=2, settings={"LABKIT_SAFE_AFTER": 2})
    board = lab.boards[0]
    board.control("hang")
    loop = lab.loop()
    lab.web()
    wait_faulty(lab)  # opened
    repair(lab)

    board.control("hang")
    eventually(lambda: DEAF in refusal(lab), what="the word of it")  # before the session
    wait_faulty(lab)
    repair(lab)

    student = lab.rlms.start_in_the_end("bob", length=300, client={"deaf": True})
    board.control("hang")
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    wait_faulty(lab)  # at its release
    assert lab.rlms.start("carol")[0] == 503
    repair(lab)

    lab.store.command("CONFIG", "SET", "appendfsync", "always")
    board.control("hang")
    claims, failures = logged(lab, CLAIMED), logged(lab, FAILED)
    lab.store_server.stop(signal.SIGKILL)
    eventually(lambda: logged(lab, FAILED) > failures, what="the loop's word without the store")
    board.control("normal")
    lab.store_server.start()
    wait_claimed(lab, claims)
    lab.wait_free()

    board.control("hang")
    lab.kill(loop, signal.SIGTERM)
    device = lab.benches()[0].devices[0]
    assert device.reason.startswith("its host was stopped, and could not make it safe: SafeStateError")
    assert (device.condition, device.blame) == ("offline", "device")
    board.control("normal")


def repair(lab: FlowLab) -> None:
    """Have the board answer again, and its device opened again at once."""
    lab.boards[0].control("normal")
    lab.reservations.set_duty("bench-1", Duty.MAINTENANCE, "deaf")
    eventually(lambda: lab.benches()[0].devices[0].reason.startswith("in maintenance: deaf"))
    lab.reservations.set_duty("bench-1", Duty.IN_SERVICE)
    lab.wait_free()


def refusal(lab: FlowLab) -> str:
    """What an RLMS is told that sends a student to the board that is deaf."""
    status, answer = lab.rlms.start("ada")
    assert status == 503
    return str(answer["message"])


def wait_claimed(lab: FlowLab, before: int) -> None:
    """Wait for one more claim of the bench than before: a store that is back shows at first what it knew last."""
    eventually(lambda: logged(lab, CLAIMED) > before, what="the new claim")


def logged(lab: FlowLab, text: str) -> int:
    """How often the lab's processes have said something."""
    return sum(path.read_text().count(text) for path in lab.folder.glob("process-*.log"))


def wait_faulty(lab: FlowLab) -> None:
    """Wait until the console is faulty because the board is deaf, and said to be the device's fault."""

    def faulty() -> bool:
        device = lab.benches()[0].devices[0]
        return device.condition == "faulty" and DEAF in device.reason and device.blame == "device"

    eventually(lambda: lab.benches() and faulty(), what="the console to be faulty")
