"""Opens the page in a browser and waits on facts of it. Fails a test whose page broke a rule on the way."""

from types import TracebackType
from typing import Any, Literal, Self

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.page.fake_plane import FakePlane
from tests.page.fake_session import FakeSession

WAIT_MS = 20_000
"""A machine that is busy with something else takes as long as it takes; a page that is wrong, for ever."""

expect.set_options(timeout=WAIT_MS)


class Pages:
    """Pages of one test. At its end none may have thrown, or asked for what the policy forbids."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []
        self.requested: list[str] = []
        self.broken: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for context in self._contexts:
            await context.close()
        if error is None:
            assert not self.broken, self.broken

    async def open(
        self,
        query: str = "",
        *,
        microphone: bool = True,
        width_px: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        script: str | None = None,
    ) -> Page:
        """A page with or without leave to use the microphone; `script` runs before its own."""
        context = await self._browser.new_context(
            viewport={"width": width_px, "height": 844 if width_px < 600 else 800},
            color_scheme=scheme,
            permissions=["microphone"] if microphone else [],
        )
        self._contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.broken.append(str(error)))
        page.on("console", self._note)
        if script:
            await page.add_init_script(script)
        await page.goto(f"{self._url}/{query}")
        await page.wait_for_function("() => window.agentfield")
        return page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.broken.append(message.text)


def _over_the_hook(expression: str) -> str:
    return f"() => {{ const {{state, turns, records}} = window.agentfield; return {expression}; }}"


async def until(page: Page, fact: str) -> None:
    """Wait until `fact`, an expression over the page's `agentfield` hook, holds."""
    await page.wait_for_function(_over_the_hook(fact))


async def facts(page: Page, expression: str) -> Any:
    """The value of an expression over the page's `agentfield` hook."""
    return await page.evaluate(_over_the_hook(expression))


async def press_call(page: Page) -> None:
    await page.get_by_role("button", name="Call", exact=True).click()


async def begin_call(page: Page, plane: FakePlane) -> FakeSession:
    """Call, and wait until text would be taken."""
    await press_call(page)
    session = await plane.session()
    await until(page, "state.call === 'in_call' && state.connected")
    return session
