"""A session's event stream: from any cursor, nothing twice, nothing missing, and presence."""

import httpx
import pytest

from tests.plane.serving import Served


def _converse(server: Served, session_id: str, turns: int) -> None:
    for number in range(turns):
        server.post(f"/api/v1/session-instances/{session_id}/input", {"text": f"turn {number}"})


def _close(server: Served, session_id: str) -> None:
    server.post(f"/api/v1/session-instances/{session_id}/close")


def test_the_stream_tells_a_session_from_its_first_record_to_its_last_and_ends(server: Served) -> None:
    session_id = server.start()
    _converse(server, session_id, 2)
    _close(server, session_id)
    with server.events(session_id) as events:
        told = events.kinds()
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert (told[0][1], told[-1][1]) == ("session_started", "session_ended")


@pytest.mark.parametrize("by_header", [True, False])
def test_a_reader_who_comes_back_misses_nothing_and_reads_nothing_twice(
    server: Served, by_header: bool
) -> None:
    session_id = server.start()
    told: list[tuple[int, str]] = []
    _converse(server, session_id, 1)
    for number in range(4):
        after = told[-1][0] if told else 0
        headers = {"Last-Event-ID": str(after)} if by_header else {}
        query = {} if by_header else {"after": after}
        path = f"/api/v1/session-instances/{session_id}/events"
        with server.client.stream("GET", path, params=query, headers=headers) as answer:
            told += _some(answer, 3)
        _converse(server, session_id, 1)
        if number == 2:
            _close(server, session_id)
    with server.events(session_id, after=told[-1][0]) as events:
        told += events.kinds()
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][1] == "session_ended"


def _some(answer: httpx.Response, count: int) -> list[tuple[int, str]]:
    from tests.plane.serving import Events

    found: list[tuple[int, str]] = []
    for event, number, data in Events(answer):
        if event == "record" and number is not None:
            found.append((int(number), httpx.Response(200, text=data).json()["kind"]))
        if len(found) == count or event == "end":
            break
    return found


@pytest.mark.parametrize("beyond", [0, 1, 1_000])
def test_whoever_has_read_everything_of_an_ended_session_is_told_so_at_once(
    server: Served, beyond: int
) -> None:
    session_id = server.start()
    _close(server, session_id)
    with server.events(session_id) as events:
        last = events.kinds()[-1][0]
    with server.events(session_id, after=last + beyond) as events:
        assert [event for event, _, _ in events] == ["end"], "and the stream ends"


def test_live_events_come_in_between_and_have_no_cursor(server: Served) -> None:
    session_id = server.start()
    live: list[str | None] = []
    with server.events(session_id) as events:
        _converse(server, session_id, 1)
        for event, number, data in events:
            if event == "live":
                live.append(number)
            if "utterance_played" in data:
                break
    assert len(live) > 2
    assert set(live) == {None}


def test_a_closed_event_stream_with_presence_ends_the_session(server: Served) -> None:
    session_id = server.start()
    _converse(server, session_id, 1)
    with server.events(session_id, presence=True) as events:
        events.kinds(until="turn_started")
    with server.events(session_id) as watcher:
        assert watcher.kinds()[-1][1] == "session_ended"
    assert server.get(f"/api/v1/session-instances/{session_id}").json()["close_reason"] == "caller_gone"


def test_a_reload_is_no_hang_up(server: Served) -> None:
    session_id = server.start()
    _converse(server, session_id, 1)
    for _ in range(3):
        with server.events(session_id, presence=True) as events:
            events.kinds(until="turn_started")
    with server.events(session_id, presence=True) as events:
        events.kinds(until="utterance_played")
        _converse(server, session_id, 1)
        events.kinds(until="utterance_played")
        assert server.get(f"/api/v1/session-instances/{session_id}").json()["close_reason"] is None
    _close(server, session_id)


def test_a_reader_without_presence_may_come_and_go(server: Served) -> None:
    session_id = server.start()
    with server.events(session_id) as events:
        events.kinds(until="session_started")
    with server.events(session_id, presence=True) as events:
        events.kinds(until="session_started")
        with server.events(session_id) as other:
            other.kinds(until="session_started")
        _converse(server, session_id, 1)
        events.kinds(until="utterance_played")
    assert server.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("query", "status"), [({"after": -1}, 400), ({"after": "x"}, 400), ({"after": 2**63}, 400)]
)
def test_a_cursor_that_is_none_is_refused(server: Served, query: dict[str, str], status: int) -> None:
    path = f"/api/v1/session-instances/{server.start()}/events"
    assert server.get(path, params=query).status_code == status


@pytest.mark.parametrize("cursor", ["9" * 30, "9" * 5_000, "x"])
def test_a_last_event_id_that_is_none_of_ours_is_ignored(server: Served, cursor: str) -> None:
    session_id = server.start()
    _close(server, session_id)
    path = f"/api/v1/session-instances/{session_id}/events"
    answer = server.get(path, headers={"Last-Event-ID": cursor})
    assert (answer.status_code, "session_started" in answer.text) == (200, True)


def test_records_show_their_content_beside_them_and_verify_checks_the_chain(server: Served) -> None:
    session_id = server.start()
    _converse(server, session_id, 1)
    with server.events(session_id) as events:
        for event, _, data in events:
            if event == "record" and '"turn_started"' in data:
                assert "turn 0" in data
                break
    _close(server, session_id)
    report = server.get(f"/api/v1/session-instances/{session_id}/verify").json()
    assert (report["ok"], report["findings"]) == (True, [])
    assert len(report["head"]) == 64
