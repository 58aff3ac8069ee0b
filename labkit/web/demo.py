"""The demo's own page: whoever opens it can start a session, without an RLMS. Registered by `labkit demo` only."""

from __future__ import annotations

import itertools
from typing import Any

from flask import Blueprint, Response, make_response, redirect, session, url_for

from labkit.errors import BenchUnavailableError, StoreUnavailableError, WebLabError
from labkit.lab import Lab
from labkit.sessions import start_session
from labkit.store.sessions import SessionState
from labkit.web.access import away, forbidden
from labkit.web.headers import page_headers
from labkit.web.origin import changes_from_elsewhere
from labkit.web.rendering import render
from labkit.web.start_request import parse_start


def demo_blueprint(lab: Lab, seconds: float) -> Blueprint:
    """The page at /labkit/demo. seconds: the length of a session."""
    blueprint = Blueprint("labkit_demo", __name__, url_prefix="/labkit/demo")
    page = DemoPage(lab, seconds)
    blueprint.add_url_rule("", "welcome", page.welcome)
    blueprint.add_url_rule("", "start", page.start, methods=["POST"])
    blueprint.after_request(page_headers)
    return blueprint


class DemoPage:
    """Welcomes a student, and starts a session for one who has none."""

    def __init__(self, lab: Lab, seconds: float):
        self._lab = lab
        self._seconds = seconds
        self._numbers = itertools.count(1)

    def welcome(self) -> str:
        return self._page()

    def start(self) -> Any:
        """Start a session and send its student in; where no bench is free, say until when. Not for other sites' pages,
        which could take a bench with each of their visitors."""
        if changes_from_elsewhere(self._lab.settings):
            return forbidden(self._lab)
        try:
            if self._is_in():
                return redirect(url_for("labkit.page"))
            session_id = start_session(self._lab, self._request())
        except StoreUnavailableError:
            return away(self._lab)
        except BenchUnavailableError as error:
            return self._refusal(str(error), self._free_at())
        except WebLabError as error:
            return self._refusal(str(error), None)
        return redirect(url_for("weblab_callback_url", session_id=session_id), 303)

    def _is_in(self) -> bool:
        """Whether this browser has a session already, in another tab perhaps."""
        known = session.get(self._lab.settings.session_id_name)
        return isinstance(known, str) and self._lab.sessions.touch(known, poll=False).state is SessionState.ACTIVE

    def _request(self) -> Any:
        name = f"student-{next(self._numbers)}"
        server = {"priority.queue.slot.length": self._seconds, "request.username": name}
        return parse_start({"server_initial_data": server, "back": url_for("labkit_demo.welcome")})

    def _free_at(self) -> float | None:
        """When the first bench is due to be free, in UTC seconds since 1970; None: nothing is known of it."""
        devices = [device for bench in self._lab.reservations.benches() for device in bench.devices]
        ends = [device.until for device in devices if device.hold == "reserved" and device.until]
        return min(ends, default=None)

    def _refusal(self, text: str, until: float | None) -> Response:
        return make_response(self._page(refusal=text, until=until), 503)

    def _page(self, **more: Any) -> str:
        return render("demo.html", title=self._lab.title, seconds=self._seconds, **more)
