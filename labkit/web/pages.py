"""labkit's own pages: the ready page, the page after the end, panels' modules, static files. Used by browsers.

CSP, caching and referrer rules apply to these pages only; a lab's own responses stay untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, redirect, request, send_file, session, url_for

from labkit.errors import StoreUnavailableError
from labkit.lab import Lab
from labkit.store.reservations import DeviceView
from labkit.store.sessions import SessionRecord, SessionState
from labkit.web.access import away, enter_request, forbidden, same_page, way_back
from labkit.web.headers import page_headers
from labkit.web.places import RETRY_AFTER
from labkit.web.rendering import render
from labkit.web.session_view import started_at


def pages_blueprint(lab: Lab, full_for: Callable[[str], bool]) -> Blueprint:
    """The pages of one lab, under /labkit; `labkit.page` is the ready page.

    full_for: whether no socket is left in this process for a page of a session; it would be of no use without.
    """
    blueprint = Blueprint(
        "labkit",
        __name__,
        url_prefix="/labkit",
        static_folder="static",
        static_url_path="/static",
    )
    pages = Pages(lab, full_for)
    blueprint.add_url_rule("/", "page", pages.page)
    blueprint.add_url_rule("/ended", "ended", pages.ended)
    blueprint.add_url_rule("/panels/<kind>.js", "panel", pages.panel)
    blueprint.after_request(page_headers)
    return blueprint


class Pages:
    """What each page shows for one lab."""

    def __init__(self, lab: Lab, full_for: Callable[[str], bool]):
        self._lab = lab
        self._full_for = full_for

    def page(self) -> Any:
        """The remote-control page of the active session; after its end, why it ended."""
        try:
            record = enter_request(self._lab, poll=True)
            if record is None or record.state in (SessionState.UNKNOWN, SessionState.STARTING):
                return forbidden(self._lab)
            if record.state is not SessionState.ACTIVE:
                return redirect(url_for("labkit.ended"))
            if self._full_for(record.session_id):
                return self._full()
            return render("page.html", page=self._page(record))
        except StoreUnavailableError:
            return away(self._lab)

    def _full(self) -> Response:
        page = render("message.html", kind="full", title=self._lab.title, retry=same_page())
        return Response(page, 503, {"Retry-After": str(RETRY_AFTER)}, mimetype="text/html")

    def ended(self) -> Any:
        """Why the session ended, and the way back."""
        try:
            session_id = session.get(self._lab.settings.session_id_name)
            record = self._lab.sessions.touch(session_id, poll=False) if isinstance(session_id, str) else None
        except StoreUnavailableError:
            return away(self._lab)
        if record is None or record.state is SessionState.UNKNOWN:
            return forbidden(self._lab)
        if record.state in (SessionState.ACTIVE, SessionState.STARTING):
            return redirect(url_for("labkit.page"))
        ended_at = record.number("ended") or record.now
        return render(
            "ended.html",
            title=self._lab.title,
            reason=record.reason or "unknown",
            ended_at=ended_at,
            back=way_back(record.user.get("back")),
        )

    def panel(self, kind: str) -> Response:
        """The ES module of one kind's panel, from the plugin that brings it."""
        panel = self._lab.plugins.panels.get(kind)
        if panel is None or not Path(panel.module).is_file():
            abort(404)
        return send_file(panel.module, mimetype="text/javascript", max_age=0)

    def _page(self, record: SessionRecord) -> dict[str, Any]:
        user = record.user
        return {
            "title": self._lab.title,
            "username": user.get("full_name") or user.get("username") or "",
            "benches": [self._lab.caller.info(bench).get("title") or bench for bench in record.fences],
            "session": session_facts(record),
            "back": way_back(user.get("back")) or "",
            "devices": self._devices(record),
            "urls": {
                "socket": f"{request.script_root}/labkit/socket.io",
                "ended": url_for("labkit.ended"),
                "static": url_for("labkit.static", filename=""),
            },
        }

    def _devices(self, record: SessionRecord) -> list[dict[str, Any]]:
        views = {device.name: device for bench in self._lab.reservations.benches() for device in bench.devices}
        return [
            self._device(bench, name, info, views.get(f"{bench}/{name}"))
            for bench in record.fences
            for name, info in self._lab.caller.devices_of(bench).items()
        ]

    def _device(self, bench: str, name: str, info: Any, view: DeviceView | None) -> dict[str, Any]:
        kind = info.get("kind", "")
        known = kind in self._lab.plugins.panels
        return {
            "name": f"{bench}/{name}",
            "title": info.get("title") or name,
            "kind": kind,
            "panel": url_for("labkit.panel", kind=kind) if known else None,
            "condition": view.condition if view else "offline",
            "reason": view.reason if view else "",
            "commands": {key: spec for key, spec in info.get("commands", {}).items() if spec.get("panel")},
            "feeds": info.get("feeds", {}),
        }


def session_facts(record: SessionRecord) -> dict[str, Any]:
    """What a page is told of its session; times are UTC seconds since 1970."""
    return {
        "state": record.state.value,
        "reason": record.reason,
        "now": record.now,
        "started": started_at(record),
        "max_date": record.number("max_date"),
        "time_left": record.time_left,
    }
