"""A caller in a real browser: Chromium with a recording as its microphone, on the page of a plane.

Needs playwright and a Chromium of the system. Both sides of the call are recorded on one clock, so
reply and barge-in times can be read off what the caller heard.
"""

import asyncio
import base64
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from agentfield_rt.testing.hearing import Recording

CONNECT_MAX_S = 30.0
_FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


class NoBrowser(RuntimeError):
    """There is no Chromium on this machine; the message says how to get one."""


def chromium() -> str:
    """Where the system's Chromium is.

    Raises:
        NoBrowser: nowhere.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    raise NoBrowser("no Chromium found; on Debian: apt-get install chromium")


@dataclass(frozen=True, slots=True)
class BrowserCall:
    """A call that is going on."""

    page: Page

    async def turns(self) -> list[dict[str, Any]]:
        """The conversation as the page shows it (static/js/model/conversation.js lists the fields)."""
        turns: list[dict[str, Any]] = await self.page.evaluate("window.agentfield.turns")
        return turns

    async def records(self) -> list[dict[str, Any]]:
        """The journal records the page was sent."""
        records: list[dict[str, Any]] = await self.page.evaluate("window.agentfield.records")
        return records

    async def state(self) -> dict[str, Any]:
        """Where the call stands (static/js/model/call_model.js lists the fields)."""
        state: dict[str, Any] = await self.page.evaluate("window.agentfield.state")
        return state

    async def wait_for(self, condition: str, *, timeout_s: float) -> None:
        """Until this JavaScript expression over `state`, `turns` and `records` is true.

        Raises:
            TimeoutError: it did not become true.
        """
        # Not `wait_for_function`: it evaluates strings in the page, which the page's policy forbids.
        script = f"""() => new Promise((resolve) => {{
            const look = () => {{
                const {{ state, turns, records }} = window.agentfield;
                if ({condition}) resolve(); else setTimeout(look, 50);
            }};
            look();
        }})"""
        async with asyncio.timeout(timeout_s):
            await self.page.evaluate(script)

    async def type(self, text: str) -> None:
        """Type a turn into the page's text box."""
        await self.page.fill("text-box textarea, text-box input", text)
        await self.page.keyboard.press("Enter")

    async def hang_up(self) -> None:
        """Press the button and wait until the page says that the call is over."""
        await self.page.click("[data-action=hangup], call-panel button")
        await self.wait_for("state.call === 'ended'", timeout_s=15)

    async def recording(self) -> Recording:
        """Both sides of the call so far."""
        dump = await self.page.evaluate("window.agentfieldRecord.dump()")
        return Recording.from_pcm(
            base64.b64decode(dump["microphone"]), base64.b64decode(dump["remote"]), dump["sample_rate_hz"]
        )


@asynccontextmanager
async def browser_page(
    *, microphone: Path | None = None, flags: Sequence[str] = (), viewport: tuple[int, int] = (1280, 800)
) -> AsyncGenerator[Page, None]:
    """An empty page; its microphone plays the WAV file `microphone` once, from the moment it is asked for."""
    arguments = [*_FLAGS, *flags]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to start as root otherwise
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory() as profile:
            context = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=chromium(),
                headless=True,
                args=arguments,
                permissions=["microphone"] if microphone is not None else [],
                viewport={"width": viewport[0], "height": viewport[1]},
            )
            try:
                yield context.pages[0]
            finally:
                await context.close()


@asynccontextmanager
async def browser_call(
    url: str, *, microphone: Path | None = None, query: str = "", flags: Sequence[str] = ()
) -> AsyncGenerator[BrowserCall, None]:
    """A call on the page at `url`, connected when this is entered.

    Args:
        microphone: What the caller says: an absolute path of a WAV file.
        query: More of the page's options (static/js/options.js).
    """
    async with browser_page(microphone=microphone, flags=flags) as page:
        await page.goto(f"{url}/?autostart=1&record=1&{query}")
        call = BrowserCall(page)
        await call.wait_for(
            "state.call === 'in_call' && state.connected || state.call === 'failed'", timeout_s=CONNECT_MAX_S
        )
        yield call
