"""docs/reference/limits.md says what the code does: each number there is the one that counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit import wire
from labkit.settings import Settings
from labkit.users import MOST_DATA
from labkit.web import frames, lanes, page_values, rates, request_limits, rlms, socket_gate, sockets, subscription
from labkit.web import visitors as visiting
from tests.docs.markdown import rows_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "limits.md").read_text("utf-8")
DEFAULTS = Settings()

SAID = {
    "Body of a request of the RLMS": (f"{rlms.BODY_BYTES / 1e6:g} MB",),
    "Body of a request to the student's own addresses": (f"{request_limits.BODY_BYTES / 1e6:g} MB",),
    "Lists and objects within each other, in what an RLMS sends": (str(page_values.MAX_DEPTH),),
    "Requests a second of one session to labkit's own routes": (f"({DEFAULTS.most_requests})", "four times"),
    "Sockets of one session in one web process": (f"({DEFAULTS.most_sockets})", "quarter"),
    "Sockets that one session opens": (
        f"{visiting.OPENED_PER_SECOND:g} a second", f"{visiting.OPENED_AT_ONCE:g} at once"
    ),
    "Time until a socket has come in": (f"{visiting.ENTER_SECONDS:g} s",),
    "One message": (f"{sockets.MESSAGE_BYTES / 1e6:g} MB",),
    "Bytes attached to one event": (f"{socket_gate.MOST_ATTACHMENTS} pieces",),
    "Lists and objects within each other, in one event": (str(socket_gate.MOST_LEVELS), str(page_values.MAX_DEPTH)),
    "Events a second of all pages of one session": (
        f"({DEFAULTS.most_events})", "four times", "a tenth", "subscription as 4", "each 10 kB",
    ),
    "Feeds of one page": (str(sockets.MOST_FEEDS),),
    "Messages that a page has not read": (str(sockets.MOST_UNSENT),),
    "Messages that a page has not read while it goes on asking": (
        f"{socket_gate.MOST_WAITING:,}", f"{socket_gate.MOST_WAITING_BYTES / 1e6:g} MB", f"than {socket_gate.FEW} ",
    ),
    "Time in which a page takes one message, or all that is left when its session is over": (
        f"{sockets.PING_SECONDS + sockets.PONG_SECONDS} s",
    ),
    "Bytes of a feed on their way to a page": (f"{subscription.WINDOW // 1024} kB",),
    "Frames on their way to a page": (str(frames.IN_FLIGHT),),
    "Calls of one page that wait for one device": (str(lanes.MOST_WAITING), f"{lanes.MOST_LANES} devices"),
    "Time of one call": (f"{sockets.CALL_SECONDS:g} s",),
    "A session's data (`weblab_user.data`), all of it": (f"{MOST_DATA / 1e6:g} MB",),
    "Lists and dicts within each other, in one value": (str(wire.MAX_DEPTH),),
}  # fmt: skip
ROWS = {row[0]: row[1:] for part in PAGE.split("\n## ")[1:] for row in rows_of(part)[1:]}


@pytest.mark.parametrize("what", SAID)
def test_limit_is_what_the_page_says(what: str) -> None:
    assert [text for text in SAID[what] if text not in ROWS[what][0]] == []


def test_what_happens_at_each_limit_is_said() -> None:
    assert [what for what, (_, then) in ROWS.items() if not then] == []
    assert "more than 64 frames" in ROWS["Events a second of all pages of one session"][1]
    assert (visiting.MOST_WAITING, visiting.MOST_REFUSED, visiting.CALM_SECONDS) == (64, 500, 5.0)
    assert (rates.BURST_SECONDS, socket_gate._PRICES["ack"], socket_gate._PRICES["subscribe"]) == (4.0, 0.1, 4.0)
    assert socket_gate._BYTES_FOR_ONE == 10_000
