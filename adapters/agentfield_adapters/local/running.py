"""A provider in a process of its own, for tests: started, spoken to over its admin endpoint, ended.

Standard library only: whoever tests with it may have no other HTTP client.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

ANSWER_S_MAX, STOP_S_MAX = 10.0, 10.0
SYNTHETIC = "senses: synthetic\npace: instant\n"


class AdminRefused(Exception):
    """The admin endpoint refused something; the text says why."""


class LocalProvider:
    """A provider that is ready.

    Attributes:
        url: `http://127.0.0.1:PORT`.
    """

    def __init__(self, url: str, admin_token: str) -> None:
        self.url = url
        self._admin_token = admin_token

    def base_url(self, *faults: str, scenario: str | None = None, name: str | None = None) -> str:
        """Return a base URL (`…/v1`) whose calls meet these faults and this scenario.

        Every request to one base URL shares one budget: a fault that strikes once strikes one of them.

        Args:
            faults: As on the command line: `drop_at=7`, `status=429,retry_after_s=2`.
            scenario: Given to `add_scenario` before, or a file's stem.
            name: In the log, as `setup`.
        """
        pairs = [("fault", fault) for fault in faults]
        pairs += [(key, value) for key, value in (("scenario", scenario), ("name", name)) if value]
        return f"{self.url}/with/{quote(urlencode(pairs))}/v1" if pairs else f"{self.url}/v1"

    def set_faults(self, *faults: str | dict[str, Any]) -> None:
        """From now on break this, for calls whose base URL says nothing, those going on too.

        Raises:
            AdminRefused: One of them is no fault.
        """
        self._ask("PUT", "/admin/faults", json.dumps(faults))

    def struck(self) -> Sequence[int]:
        """Return how often each of those faults has struck."""
        return [int(fault["struck"]) for fault in self._ask("GET", "/admin/faults")["faults"]]

    def set_scenario(self, yaml_text: str) -> None:
        """From now on play this, for new calls whose base URL says nothing.

        Raises:
            AdminRefused: It is no scenario.
        """
        self._ask("PUT", "/admin/scenario", yaml_text)

    def add_scenario(self, name: str, yaml_text: str) -> None:
        """Keep a scenario for base URLs that name it.

        Raises:
            AdminRefused: It is no scenario.
        """
        self._ask("PUT", f"/admin/scenarios/{quote(name)}", yaml_text)

    def log(self, **wanted: str) -> list[dict[str, Any]]:
        """Return what came and went, in order: `log(what="received", type="session.update")`."""
        entries: list[dict[str, Any]] = self._ask("GET", f"/admin/log?{urlencode(wanted)}")["entries"]
        return entries

    def received(self, event_type: str | None = None, **wanted: str) -> list[dict[str, Any]]:
        """Return the events that clients sent."""
        more = {} if event_type is None else {"type": event_type}
        return [entry["event"] for entry in self.log(what="received", **more, **wanted) if "event" in entry]

    def dial(self, to: str, *, caller: str, webhook_url: str, webhook_secret: str) -> LocalPhone:
        """Let a phone call come in, and tell of it; returns when the webhook was answered.

        Raises:
            AdminRefused: It cannot be dialled; the secret is none, for instance.
        """
        body = {"to": to, "caller": caller, "webhook_url": webhook_url, "webhook_secret": webhook_secret}
        return LocalPhone(self._ask, self._ask("POST", "/admin/phone-calls", json.dumps(body)))

    def reset(self) -> None:
        """Break nothing, play the synthetic default, forget the log."""
        self.set_scenario(SYNTHETIC)
        self.set_faults()
        self._ask("DELETE", "/admin/log")

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else body.encode(),
            method=method,
            headers={"Authorization": f"Bearer {self._admin_token}"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=ANSWER_S_MAX) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                message = json.loads(error.read())["error"]["message"]
            raise AdminRefused(message) from None
        return json.loads(data) if data else None


class LocalPhone:
    """A caller's telephone.

    Attributes:
        call_id: As the webhook named it.
        webhook_status: With what the webhook was answered; None when it was not.
    """

    def __init__(self, ask: Callable[..., Any], dialled: dict[str, Any]) -> None:
        self._ask = ask
        self.call_id = str(dialled["call_id"])
        self.webhook_status: int | None = dialled["webhook_status"]

    def state(self) -> dict[str, Any]:
        """Return what became of the call: `state` (ringing, answered, refused, referred, ended) and more."""
        told: dict[str, Any] = self._ask("GET", f"/admin/phone-calls/{self.call_id}")
        return told

    def say(self, text: str) -> None:
        """Say something, once the call is answered.

        Raises:
            AdminRefused: It is not, or not any more.
        """
        self._ask("POST", f"/admin/phone-calls/{self.call_id}/speech", json.dumps({"text": text}))

    def press(self, keys: str) -> None:
        """Press these keys, once the call is answered.

        Raises:
            AdminRefused: It is not, or a telephone has no such key.
        """
        self._ask("POST", f"/admin/phone-calls/{self.call_id}/keys", json.dumps({"keys": keys}))

    def hang_up(self) -> None:
        """Put the receiver down, also while it still rings."""
        self._ask("DELETE", f"/admin/phone-calls/{self.call_id}")


@contextmanager
def running_provider(*options: str, synthetic: bool = True) -> Generator[LocalProvider]:
    """Run a provider until the end of the block.

    Args:
        options: Further command line options, such as `--seed 7`.
        synthetic: Sessions begin with synthetic senses at an instant pace, so no model is loaded.
    """
    command = [sys.executable, "-m", "agentfield_adapters.local", "--admin", "--exit-with-parent"]
    senses = ["--synthetic"] if synthetic else []
    process = subprocess.Popen([*command, *senses, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the local provider did not start; its standard error says why")
        ready = json.loads(line)
        yield LocalProvider(ready["url"], ready["admin_token"])
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
