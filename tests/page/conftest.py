"""One headless browser for all page tests, a fresh server and page for each."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.page.fake_plane import FakePlane
from tests.page.pages import Pages

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if path is None:
        pytest.fail("the page's tests need a browser: apt-get install chromium")
    arguments = [*_ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else _ARGUMENTS
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def plane() -> AsyncIterator[FakePlane]:
    async with FakePlane().serving() as plane:
        yield plane


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser, plane: FakePlane) -> AsyncIterator[Pages]:
    async with Pages(browser, plane.url) as pages:
        yield pages
