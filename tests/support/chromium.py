"""Debian's Chromium with pages of this machine and no network, driven by Playwright."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.patience import PATIENCE
from tests.support.programs import program


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, ended with the block. Root has no sandbox: Chromium refuses to start one there."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=options, timeout=PATIENCE * 1000)
        try:
            yield browser
        finally:
            browser.close()


class OpenedPage:
    """A file that a browser shows without a network: the page, the requests it made, and what the console has."""

    def __init__(self, browser: Browser, file: Path, fragment: str = "", **options: Any) -> None:
        """Open it; `options` are those of a context of Playwright."""
        self.requests: list[str] = []
        self.console: list[str] = []
        self._context = browser.new_context(offline=True, **options)
        self._context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = self._context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.goto(file.as_uri() + fragment)

    def close(self) -> None:
        """Close the page and forget what it stored."""
        self._context.close()
