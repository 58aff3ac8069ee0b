"""What rlms.md promises, section by section, in words of our own, and the word by which a test says what it proves.

A promise is proven by tests of `test_rlms_*.py` here, which say `@proves(words)`, or by tests elsewhere that the table
names. Where the file only tells how others behave it promises nothing. `test_rlms_table.py` fails where a promise has
no test, where a test names no promise, and where a test that the table names does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])


def proves(*promises: str) -> Callable[[Test], Test]:
    """Say of a test which promises it proves."""

    def mark(test: Test) -> Test:
        test.proven = (*getattr(test, "proven", ()), *promises)  # type: ignore[attr-defined]
        return test

    return mark


RLMS, START, SLOT = "tests/web/test_rlms.py", "tests/web/test_start_request.py", "tests/web/test_slot_start.py"
TROUBLES = "tests/web/test_rlms_troubles.py"
BODIES, ANY, PAGES = (f"tests/web/test_malformed{part}.py" for part in ("", "_rlms", "_pages"))
CALLBACK, ACCESS = "tests/web/test_callback.py", "tests/web/test_access.py"
SCRIPT, BROWSER = "tests/web/test_poll_script.py", "tests/browser/test_poll_script.py"
EXTENSION, SETTINGS, SESSIONS = "tests/test_extension.py", "tests/test_settings.py", "tests/test_sessions.py"
USERS, REAPER, WEBLAB = "tests/test_users.py", "tests/loop/test_reaper.py", "tests/commands/test_weblab.py"
TASK, FUNCTION, REGISTRY = (f"tests/tasks/test_{name}.py" for name in ("task", "function", "registry"))
EXECUTION, FAKE, RUNNER = (
    "tests/tasks/test_execution.py",
    "tests/commands/test_fake.py",
    "tests/loop/test_task_runner.py",
)


def in_file(path: str, *names: str) -> tuple[str, ...]:
    """Tests of one file."""
    return tuple(f"{path}::test_{name}" for name in names)


HERE: tuple[str, ...] = ()
"""Proven by tests of this folder."""

Section = Mapping[str, Sequence[str]]

NAMES: Section = {
    "the lists of tasks are properties": HERE,
    "sync is store, and anonymous is is_anonymous": HERE,
    "join can ask the task to stop": HERE,
    "commands are those of flask weblab": in_file(WEBLAB, "group_has_the_commands_that_make_sense_with_an_app"),
}

REQUESTS: Section = {
    "routes lie below the base URL": in_file(RLMS, "base_url_may_have_slashes"),
    "everything but api asks for credentials": in_file(
        RLMS, "wrong_credentials_are_refused_everywhere", "api_needs_no_credentials"
    ),
    "every answer is JSON, errors too": (
        *in_file(RLMS, "every_answer_is_json_whatever_was_sent", "what_nobody_asks_is_answered_in_json_too"),
        *in_file(ANY, "method_that_a_route_has_not_is_refused_in_json", "address_of_nothing_is_a_404_in_json"),
        *in_file(BODIES, "client_that_sends_too_much_hears_why"),
    ),
    "a body is JSON whatever its Content-Type says": HERE,
    "successes are 200": HERE,
    "questions about unknown sessions are 200": in_file(ANY, "id_of_nobody_is_an_unknown_session"),
    "wrong credentials are a 401 that says how they seem to be": in_file(
        RLMS, "wrong_credentials_are_refused_everywhere"
    ),
    "api says the version": in_file(RLMS, "api_needs_no_credentials"),
    "test says that the credentials are valid": in_file(RLMS, "test_says_valid"),
    "test says that no user name came": in_file(RLMS, "test_says_what_is_wrong"),
    "test says that the user name is wrong": in_file(RLMS, "test_says_what_is_wrong"),
    "start gives the link and the id": in_file(RLMS, "start_gives_the_link_and_the_id"),
    "a failed start is an HTTP error with a message": in_file(
        RLMS, "failing_on_start_is_an_error_with_json_and_ends_the_session", "malformed_start_is_a_400_with_json"
    ),
    "a start for which nothing is free is a 503": in_file(
        RLMS, "second_start_is_a_503_that_names_the_bench_and_not_the_user"
    ),
    "status is a number": in_file(RLMS, "status_asks_again_after_the_interval_or_the_time_left"),
    "dispose of a session says that it is deleted": in_file(
        RLMS, "dispose_ends_the_session_and_says_so_as_often_as_asked"
    ),
    "dispose of an unknown session says that it was not found": in_file(
        RLMS, "dispose_looks_at_the_action_first_then_at_the_session"
    ),
    "another action is an unknown one": in_file(ANY, "action_that_is_another_does_nothing"),
    "many sessions are answered at once": in_file(RLMS, "status_of_several"),
    "many sessions: after the time-out the rest is absent": in_file(RLMS, "after_the_timeout_the_rest_is_absent"),
    "many sessions: without ids an error code comes": in_file(RLMS, "no_ids_is_an_error_code"),
    "dispose looks at the action first": in_file(RLMS, "dispose_looks_at_the_action_first_then_at_the_session"),
    "unknown keys reach on_start": in_file(RLMS, "on_start_gets_what_was_sent_and_what_it_returns_is_the_data"),
    "client data may be null": in_file(START, "client_data_may_be_null"),
    "a slot may be a fraction of a second": HERE,
    "settings may be fractions of a second": HERE,
    "a length that is not finite, not above 0 or over a year is a 400": in_file(
        BODIES, "length_that_is_none_is_refused"
    ),
}

STATUS: Section = {
    "status is the interval or the time left": in_file(RLMS, "status_asks_again_after_the_interval_or_the_time_left"),
    "status is 0 only where the interval is": (
        *in_file(RLMS, "interval_can_be_set"),
        "tests/reference/test_rlms_requests.py::test_status_never_says_zero",
    ),
    "status is -1 as soon as the time is over": in_file(
        RLMS, "status_says_finished_as_soon_as_the_user_is_out", "asking_for_the_status_ends_nothing"
    ),
    "status is -1 as soon as the user was silent too long": HERE,
    "status is -1 as soon as the user has logged out": HERE,
    "status is -1 while labkit ends the session itself": HERE,
    "status of an unknown session is -1": in_file(RLMS, "status_of_an_unknown_session_is_finished"),
    "status is 2 from the dispose to its end": in_file(RLMS, "long_ending_is_answered_at_once_and_status_asks_again"),
    "asking for the status ends nothing": in_file(RLMS, "asking_for_the_status_ends_nothing"),
    "logout only marks the session": HERE,
    "logout wakes the reaper": HERE,
    "the first status that finds the end writes it": in_file(RLMS, "first_status_that_sees_the_end_writes_it_once"),
    "a long ending does not hold the dispose": in_file(RLMS, "long_ending_is_answered_at_once_and_status_asks_again"),
    "a dispose that is done says so": in_file(RLMS, "dispose_ends_the_session_and_says_so_as_often_as_asked"),
    "no answer to a dispose has data": HERE,
    "a dispose is never an error of the server": (
        *in_file(RLMS, "failing_on_dispose_stops_nothing"),
        *in_file(TROUBLES, "store_that_is_away_is_never_a_finished_session", "store_that_was_never_there_is_no_500"),
    ),
    "asking again and disposing twice are normal": in_file(
        RLMS, "dispose_ends_the_session_and_says_so_as_often_as_asked"
    ),
}

SENT: Section = {
    "the length is text or a number": in_file(START, "length_comes_as_text_or_number"),
    "the start is a local time": in_file(SLOT, "every_form_gives_the_same_moment_in_any_zone"),
    "the start's fraction is missing when it is zero": in_file(SLOT, "every_form_gives_the_same_moment_in_any_zone"),
    "the start says its offset": in_file(SLOT, "every_form_gives_the_same_moment_in_any_zone"),
    "the start's timestamp is text or a number": in_file(SLOT, "every_form_gives_the_same_moment_in_any_zone"),
    "the start's timestamp is preferred": in_file(SLOT, "timestamp_stands_where_the_others_differ"),
    "the start may come as UTC": in_file(SLOT, "every_form_gives_the_same_moment_in_any_zone"),
    "the start may come with its time zone": in_file(
        SLOT, "every_form_gives_the_same_moment_in_any_zone", "zone_is_a_name_or_an_offset_and_else_the_machines"
    ),
    "the session ends after its length from the start or from now": in_file(
        SLOT, "session_ends_after_its_length_from_its_start_or_from_now_whatever_is_earlier"
    ),
    "a change of clocks changes no end": in_file(
        SLOT,
        "local_start_gives_the_right_end_across_a_change",
        "session_that_goes_on_through_a_change_keeps_its_length",
    ),
    "what is said of the user is the user's": in_file(START, "everything_that_comes_is_kept"),
    "the reservation's id reaches on_start by either name": HERE,
    "the unique name and the start may be missing": in_file(
        START, "documented_example_is_enough", "start_may_be_missing"
    ),
    "full name, category, locale and back may be null": HERE,
    "nothing but the length and a user name is needed": in_file(
        START, "documented_example_is_enough", "user_name_can_not_be_missing", "length_that_is_none_is_refused"
    ),
    "the experiment's id is its name and its category": in_file(START, "everything_that_comes_is_kept"),
    "numbers may come as text, and names as numbers": in_file(
        START, "length_comes_as_text_or_number", "numbers_come_as_names_too"
    ),
    "what is malformed is a 400 that names the key": (
        *in_file(BODIES, "value_of_another_type_is_refused_by_its_key", "date_that_is_none_is_refused"),
        *in_file(BODIES, "timestamp_that_is_none_is_refused", "way_back_that_can_not_be_gone_is_refused"),
        *in_file(ANY, "any_json_is_answered"),
    ),
}

WORK: Section = {
    "without threads and loop a dispose does the work": in_file(RLMS, "process_without_threads_does_the_work_itself"),
    "without threads and loop clean_expired_users does the work": in_file(
        EXTENSION, "overdue_sessions_are_ended_in_the_caller"
    ),
    "without threads and loop run_tasks does the work": HERE,
    "silence counts from the end of on_start": HERE,
    "silence counts whether the link was followed or not": HERE,
    "no ending begins while on_start runs": HERE,
    "on_start has a limit of its own": in_file(SESSIONS, "start_that_took_too_long_fails"),
    "a slow ending delays no other": in_file(REAPER, "slow_ending_delays_no_other"),
    "on_start runs in the process that got the request": HERE,
    "an ending is the loop's where one is": HERE,
    "the reaper ends what the RLMS never disposes of": HERE,
}

USER_URLS: Section = {
    "the link puts the id into Flask's session under its name": in_file(
        CALLBACK, "link_leads_to_the_initial_url_and_sets_only_flasks_session", "name_of_the_id_can_be_set"
    ),
    "the link sets no other cookie": in_file(CALLBACK, "link_leads_to_the_initial_url_and_sets_only_flasks_session"),
    "a lab may put the id there itself": HERE,
    "the link leads to the initial URL": in_file(
        CALLBACK, "link_leads_to_the_initial_url_and_sets_only_flasks_session"
    ),
    "the link works again, from several browsers, and after the end": in_file(
        CALLBACK, "link_may_be_followed_again_and_after_the_end"
    ),
    "the link of an unknown session is forbidden": in_file(
        CALLBACK, "unknown_id_is_forbidden", "unknown_id_gets_the_refusal_that_is_set"
    ),
    "without an initial URL there is a 500 that names it": in_file(CALLBACK, "lab_without_an_initial_url_says_so"),
    "poll and logout answer in JSON whether they did it": in_file(CALLBACK, "poll_counts", "logout_puts_the_user_out"),
    "poll and logout say that it is another session": in_file(CALLBACK, "refusals_say_why"),
    "poll and logout say that there is none": in_file(CALLBACK, "refusals_say_why"),
    "poll and logout say that the user is not active": in_file(CALLBACK, "refusals_say_why"),
    "the URLs have names": in_file(CALLBACK, "addresses_have_the_names_that_labs_use"),
    "poll and logout answer GET and POST": in_file(CALLBACK, "poll_counts", "logout_puts_the_user_out"),
    "HEAD changes nothing": in_file(CALLBACK, "head_changes_nothing"),
    "a client without an Origin is let in": HERE,
    "each template has the user, the lab and the script": in_file(
        SCRIPT, "every_template_of_the_lab_has_the_three_names"
    ),
    "every request with a session is a poll": in_file(ACCESS, "every_request_is_a_poll"),
    "a request after the silence revives nothing": in_file(ACCESS, "request_after_the_silence_revives_nothing"),
    "pages without a guard work while the store is away": in_file(
        ACCESS, "pages_without_a_guard_work_while_the_store_is_away"
    ),
    "the scheme shapes only the user's link": HERE,
    "a lab may monkey-patch its web process": HERE,
    "the secret key may come after init_app": HERE,
    "processes may have different secret keys": HERE,
}

POLL_SCRIPT: Section = {
    "script: takes logout_on_close and callback": HERE,
    "script: a page without a session gets a comment": in_file(SCRIPT, "page_without_a_session_gets_a_comment"),
    "script: a lab without a time-out gets a comment": in_file(
        SCRIPT, "lab_without_a_timeout_gets_a_comment_with_a_session_and_without"
    ),
    "script: no time-out wins over no session": in_file(
        SCRIPT, "lab_without_a_timeout_gets_a_comment_with_a_session_and_without"
    ),
    "script: needs no jQuery": in_file(SCRIPT, "script_needs_no_jquery"),
    "script: holds the quoted path of the poll": in_file(SCRIPT, "script_holds_the_quoted_path_of_the_poll"),
    "script: polls every half time-out": in_file(SCRIPT, "it_polls_every_half_of_the_timeout_as_far_as_timers_go"),
    "script: goes on through a 502 or 503": in_file(
        BROWSER, "it_goes_on_through_everything_that_is_no_answer_of_the_lab"
    ),
    "script: calls the function at the end": in_file(BROWSER, "callback_is_called_once_when_the_session_is_over"),
}

CONFIGURATION: Section = {
    "credentials are mandatory": in_file(EXTENSION, "missing_credentials_are_refused"),
    "settings have the defaults that are stated": HERE,
    "an empty callback URL is an error": in_file(EXTENSION, "empty_callback_url_is_refused"),
    "a time-out of 0 or below is none": HERE,
    "a refusal is the link, or the template, or two words": (
        *in_file(ACCESS, "refusal_can_be_a_link", "refusal_can_be_a_template"),
        *in_file(CALLBACK, "unknown_id_is_forbidden"),
    ),
    "the store's prefix can be set": HERE,
    "no thread is not to be with threads": in_file(EXTENSION, "no_thread_with_threads_is_refused"),
    "an expired user is kept for the time that is set": HERE,
    "a task is kept for the time that is set": HERE,
    "the lifecycle's log can be off": in_file(RLMS, "lifecycle_log_can_be_off"),
    "new settings are LABKIT_ ones": in_file(SETTINGS, "every_setting_has_a_name_of_its_own_and_one_line_of_help"),
}

MISTAKES: Section = {
    "an error of the configuration is a ValueError": HERE,
    "no app is an error": in_file(EXTENSION, "no_app_is_refused"),
    "another app is an error": in_file(EXTENSION, "another_app_is_refused"),
    "another configuration is an error": in_file(EXTENSION, "init_app_again_with_another_config_is_refused"),
    "a second WebLab is an error": in_file(EXTENSION, "second_weblab_in_one_app_is_refused"),
    "a second function of a kind is an error": in_file(EXTENSION, "hook_can_be_registered_once_and_is_returned"),
    "a second task of a name is an error": in_file(FUNCTION, "two_tasks_of_one_name_are_refused"),
    "a task's name as long as a token is an error": in_file(FUNCTION, "name_as_long_as_an_id_is_refused"),
    "threads that are and are not to be are an error": in_file(EXTENSION, "no_thread_with_threads_is_refused"),
    "slashes at the end of URLs are tolerated": (
        *in_file(RLMS, "base_url_may_have_slashes", "start_may_lack_the_last_slash"),
        *in_file(CALLBACK, "callback_url_may_have_slashes"),
    ),
    "init_app again with nothing changed is tolerated": in_file(EXTENSION, "init_app_again_is_fine_if_nothing_changed"),
    "close is tolerated at any time and twice": in_file(EXTENSION, "close_at_any_time_and_twice"),
    "a flushed store is tolerated": in_file(EXTENSION, "store_that_was_flushed_after_init_app_is_no_problem"),
    "commands hang on the app": in_file(EXTENSION, "commands_hang_on_the_app"),
    "a user in an app without a lab is an error": HERE,
}

PEOPLE: Section = {
    "the user stays readable after a request": in_file(ACCESS, "user_stays_readable_after_the_request"),
    "tasks may be run after a request": HERE,
    "an expired user may submit tasks": HERE,
    "an expired user is sent back": in_file(ACCESS, "user_who_is_out_is_sent_back_and_the_view_does_not_run"),
    "the user has all that is stated": HERE,
    "data can be stored, retrieved and asked whether it was modified": in_file(USERS, "data_is_written_key_by_key"),
    "data is saved after a view where it was modified": in_file(
        ACCESS, "data_is_saved_after_a_view_where_it_was_modified"
    ),
    "data is saved after on_start": in_file(RLMS, "on_start_that_returns_nothing_leaves_the_data"),
    "what on_start returns is the data": in_file(RLMS, "on_start_gets_what_was_sent_and_what_it_returns_is_the_data"),
    "data is not saved after a task, which is warned of": HERE,
    "data is saved by hand in a task": HERE,
    "data is saved after a socket's event": HERE,
    "data can be replaced": in_file(USERS, "data_can_be_replaced"),
    "an expired user's data can't be replaced": in_file(USERS, "expired_user_is_readable_and_does_not_change"),
    "an anonymous user's data is no None and no dict": in_file(USERS, "anonymous_user_has_no_data_and_says_so"),
    "dates are seconds since 1970": HERE,
    "a user as text has the session's id, a task's has its own": HERE,
    "logs hold neither": HERE,
    "on_dispose has the current user, whose data is kept": HERE,
    "on_start that returns nothing leaves the data": in_file(RLMS, "on_start_that_returns_nothing_leaves_the_data"),
}

TASKS: Section = {
    "a task that raised says what": in_file(EXECUTION, "failing_task_says_what_happened_and_the_next_one_runs"),
    "a task without a function says so": in_file(EXECUTION, "task_of_a_function_that_is_not_here_is_not_found"),
    "a losing unique task fails with its error, and delay raises nothing": in_file(
        FUNCTION, "losing_unique_task_fails_at_once_and_delay_does_not_raise"
    ),
    "a task that joins itself fails with a deadlock": in_file(TASK, "task_that_joins_itself_fails_with_deadlock"),
    "a task's data can't be changed outside": in_file(TASK, "data_can_not_be_changed_outside_but_shown_as_json"),
    "nobody gets another session's task": in_file(REGISTRY, "nobody_gets_the_task_of_another_session_or_of_none"),
    "of several tasks the newest is given": in_file(REGISTRY, "tasks_are_found_by_id_name_and_function"),
    "an unknown task is none, also outside of any context": HERE,
    "tasks that wait count as running": in_file(REGISTRY, "running_tasks_are_those_that_have_not_ended"),
    "stop never cancels": in_file(TASK, "submitted_task_that_was_stopped_still_runs"),
    "a task is a snapshot that is refreshed by hand": in_file(TASK, "task_is_a_snapshot_that_retrieve_refreshes"),
    "tasks can be joined from plain threads": in_file(TASK, "all_who_join_come_back_and_from_plain_threads"),
    "store refreshes the task": HERE,
    "run_sync with a limit gives the unfinished task": in_file(
        FUNCTION, "run_sync_gives_the_unfinished_task_when_its_time_is_over"
    ),
    "join_tasks with a limit raises nothing": in_file(
        REGISTRY, "join_tasks_waits_for_all_of_one_function_and_raises_nothing"
    ),
    "a task has an app's context and no request": in_file(
        EXECUTION, "task_has_an_app_context_and_no_request_also_when_run_inside_one"
    ),
    "unique for the user is by session": in_file(FUNCTION, "losing_unique_task_fails_at_once_and_delay_does_not_raise"),
    "a task is readable as long as its expired user, then it has no status": HERE,
    "a process with an endless task can exit": HERE,
    "tasks compare, hash and sort by id": in_file(TASK, "tasks_are_equal_hash_and_sort_by_their_id"),
    "the time-out is readable before init_app, and can be set": in_file(
        EXTENSION, "timeout_is_readable_and_can_be_set"
    ),
}

COMMANDS: Section = {
    "flask weblab has its commands with their options": HERE,
    "fake new calls the server at SERVER_NAME over HTTP": HERE,
    "fake new calls localhost:5000 by default": HERE,
    "fake new starts a session of 300 s by default": HERE,
    "fake new keeps the id in its file": HERE,
    "fake new prints the URL whole on one line": HERE,
    "fake new says which error came": HERE,
    "fake new sends what its options say": HERE,
    "fake status prints the user and when to ask again": HERE,
    "fake dispose prints the message": HERE,
    "fake without a session says so and exits with 0": HERE,
    "the loop ends with 0 at SIGTERM": in_file(WEBLAB, "loop_ends_in_order_at_sigterm"),
}

LIFECYCLE: Section = {
    "lines are JSON in the app's log at INFO": HERE,
    "a line has the keys that are stated and no others": HERE,
    "a line holds neither id, name nor way back": HERE,
    "keys without a value are null": HERE,
    "a stranger's rejection says that there was no cookie": HERE,
    "a rejection says that the session was not found": HERE,
    "a rejection says why the session is over": HERE,
    "the expiry is written once, by the first status, with its reason": HERE,
    "logout and guards write no expiry": HERE,
    "a dispose of an active session writes one line": HERE,
    "an expiry that nobody can explain is unknown": HERE,
}

SECTIONS: Mapping[str, Section] = {
    "names that differ from the reference": NAMES,
    "the HTTP API": REQUESTS,
    "status and dispose": STATUS,
    "what an RLMS sends": SENT,
    "who does the work": WORK,
    "URLs of the user": USER_URLS,
    "the poll script": POLL_SCRIPT,
    "settings": CONFIGURATION,
    "labs rely on: errors and tolerance": MISTAKES,
    "labs rely on: users": PEOPLE,
    "labs rely on: tasks": TASKS,
    "labs rely on: commands": COMMANDS,
    "labs rely on: the lifecycle's log": LIFECYCLE,
}
