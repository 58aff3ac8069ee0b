"""The first page of a lab without an app: says which lab this is and how one gets in, or leads its user on."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, session, url_for

from labkit.errors import StoreUnavailableError
from labkit.lab import Lab
from labkit.store.sessions import SessionState
from labkit.web.headers import page_headers
from labkit.web.rendering import render

HOW_IN = (
    "Here you need a session. The remote-laboratory management system (RLMS) that this lab belongs to starts one and "
    "sends you in. Who runs the lab can do the same in its folder, by the command: labkit fake new"
)


def home_blueprint(lab: Lab) -> Blueprint:
    """The page at `/`."""
    blueprint = Blueprint("labkit_home", __name__)
    blueprint.add_url_rule("/", "home", lambda: home(lab))
    blueprint.after_request(page_headers)
    return blueprint


def home(lab: Lab) -> Any:
    """Lead a browser that has a session to its devices; tell any other one how sessions begin."""
    if is_in(lab):
        return redirect(url_for("labkit.page"))
    facts = {"title": lab.title, "kind": "home", "heading": f"This is the lab {lab.title}", "text": HOW_IN}
    return render("message.html", **facts, retry="", back="")


def is_in(lab: Lab) -> bool:
    """Whether this browser has an active session; False also while the store is away."""
    known = session.get(lab.settings.session_id_name)
    try:
        return isinstance(known, str) and lab.sessions.touch(known, poll=False).state is SessionState.ACTIVE
    except StoreUnavailableError:
        return False
