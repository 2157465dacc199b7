"""What a log line says, and what it never does."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from opentelemetry import propagate
from opentelemetry.context import Context
from pydantic import SecretStr

import agentfield_adapters
import agentfield_journal
import agentfield_rt
from agentfield_rt import logs
from agentfield_rt.config import Settings
from agentfield_rt.logs import REQUEST_ID, JsonFormatter, TextFormatter, configure_logs

SAID = "my order is eight"
CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
KEYS = [
    "sk-proj-0123456789abcdef",
    "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
    "Bearer abcdefgh12345678",
    "eyJhbGciOiJub25l.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
]


def record(message: str, *, level: int = logging.ERROR, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("agentfield_rt.of_a_test", level, __file__, 1, message, (), None)
    made.__dict__.update(extra)
    return made


def failed(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        made = record("it failed")
        made.exc_info = sys.exc_info()
        return made


@contextmanager
def unconfigured() -> Generator[logging.Logger]:
    """The root logger as a program finds it; pytest has handlers of its own there."""
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", *logs.OURS, *logs.QUOTE_CALLERS)}
    of_pytest, root.handlers = root.handlers, []
    try:
        yield root
    finally:
        root.handlers = of_pytest
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def test_a_line_of_json_has_fields_of_the_list_and_no_others() -> None:
    token = REQUEST_ID.set("req_1")
    try:
        line = json.loads(JsonFormatter().format(record("done", session_id="sess_1", transcript=SAID)))
    finally:
        REQUEST_ID.reset(token)
    assert line.keys() == {"at", "level", "logger", "message", "request_id", "session_id"}
    assert (line["level"], line["message"], line["request_id"]) == ("error", "done", "req_1")


@pytest.mark.parametrize("form", [JsonFormatter, TextFormatter])
@pytest.mark.parametrize("key", KEYS)
def test_what_looks_like_a_key_is_cut_out_wherever_it_stands(form: type[JsonFormatter], key: str) -> None:
    line = form().format(record(f"refused with {key}!", target=key))
    assert key.removeprefix("Bearer ") not in line
    assert "refused with" in line


@pytest.mark.parametrize("form", [JsonFormatter, TextFormatter])
def test_a_secret_of_the_settings_is_cut_out_whatever_it_looks_like(form: type[JsonFormatter]) -> None:
    assert "correct horse" not in form(["correct horse"]).format(record("the key is correct horse"))


@pytest.mark.parametrize("form", [JsonFormatter, TextFormatter])
def test_of_an_exception_there_is_its_type_and_its_place_and_its_text_in_debug_only(
    form: type[JsonFormatter],
) -> None:
    try:
        raise ValueError(SAID) from KeyError(SAID)
    except ValueError as error:
        line = form().format(failed(error))
    assert SAID not in line
    assert "builtins.ValueError" in line
    assert "builtins.KeyError" in line
    assert "test_logs.py" in line
    logger = logging.getLogger("agentfield_rt.of_a_test")
    logger.setLevel(logging.DEBUG)
    try:
        assert SAID in form().format(failed(ValueError(SAID)))
    finally:
        logger.setLevel(logging.NOTSET)


def test_a_message_cannot_forge_a_second_line() -> None:
    assert "\n" not in TextFormatter().format(record("one\n12:00:00 ERROR two"))
    assert len(JsonFormatter().format(record("one\ntwo")).splitlines()) == 1


def test_the_packages_are_silent_until_somebody_configures_logs() -> None:
    for package in (agentfield_rt, agentfield_journal, agentfield_adapters):
        handlers = logging.getLogger(package.__name__).handlers
        assert any(isinstance(handler, logging.NullHandler) for handler in handlers), package


def test_a_server_logs_as_its_settings_say() -> None:
    settings = Settings(log_format="json", log_level="info", turn_secret=SecretStr("not to be shown"))
    with unconfigured() as root:
        configure_logs(settings)
        (handler,) = root.handlers
        assert isinstance(handler.formatter, JsonFormatter)
        assert "not to be shown" not in handler.format(record("it is not to be shown"))
        assert logging.getLogger("agentfield_rt.plane").isEnabledFor(logging.INFO)
        assert not logging.getLogger("websockets").isEnabledFor(logging.INFO)


def test_headers_that_opentelemetry_cannot_read_are_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    with unconfigured():
        configure_logs(Settings())
        for header in (f"a={SAID}" + "%" * 9_000, f"{SAID};;", f"a b={SAID}"):
            propagate.extract({"traceparent": CALLER, "tracestate": header, "baggage": header}, Context())
        logging.getLogger("opentelemetry.trace").warning("what is no header")
    complaint = capsys.readouterr().err
    assert (SAID in complaint, "what is no header" in complaint) == (False, True)


def test_a_host_s_own_configuration_stays() -> None:
    mine = logging.NullHandler()
    with unconfigured() as root:
        root.addHandler(mine)
        configure_logs(Settings(log_level="debug"))
        assert root.handlers == [mine]
