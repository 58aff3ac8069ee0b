"""The settings of the session API, with the defaults that its reference states."""

from __future__ import annotations

STATED = {
    "WEBLAB_CALLBACK_URL": "/callback",
    "WEBLAB_SESSION_ID_NAME": "weblab_session_id",
    "WEBLAB_REDIS_BASE": "lab",
    "WEBLAB_TASK_EXPIRES": 3600,
    "WEBLAB_TIMEOUT": 15,
    "WEBLAB_AUTOPOLL": True,
    "WEBLAB_POLL_INTERVAL": 5,
    "WEBLAB_CLEANER_INTERVAL": 5,
    "WEBLAB_EXPIRED_USERS_TIMEOUT": 3600,
    "WEBLAB_AUTOCLEAN_THREAD": True,
    "WEBLAB_TASK_THREADS_PROCESS": 3,
    "WEBLAB_NO_THREAD": False,
    "WEBLAB_LOG_SESSION_LIFECYCLE": True,
}
EMPTY = (
    "WEBLAB_USERNAME", "WEBLAB_PASSWORD", "WEBLAB_BASE_URL", "WEBLAB_REDIS_URL", "WEBLAB_UNAUTHORIZED_LINK",
    "WEBLAB_UNAUTHORIZED_TEMPLATE", "WEBLAB_SCHEME",
)  # fmt: skip
