"""A headless Chromium that loads one page, prints what it became, and keeps to this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A page after it was loaded."""

    dom: str
    console: tuple[str, ...]
    """What the page, or the browser about the page, wrote to the console."""


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """Return the analyses that the tests of the renderers use."""
    path = Path(__file__).parent.parent / "report" / "sample.py"
    spec = importlib.util.spec_from_file_location("report_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the system's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=arguments)
        yield made
        made.close()


@pytest.fixture
def chromium(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs Chromium with further arguments."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        (pytest.fail if os.environ.get("LOSTSYN_STRICT") else pytest.skip)("Chromium is not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        # Without a sandbox, since containers and root have none; nothing but our own page is opened.
        command = [
            str(program),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--v=0",
            *arguments,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        if done.returncode < 0:  # the browser itself crashed, as it does now and then on a loaded machine
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        done.check_returncode()
        return done

    return run


@pytest.fixture
def load(chromium: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Callable[..., Loaded]:
    """Return a function that loads an HTML text and returns what it became."""

    def go(text: str, fragment: str = "") -> Loaded:
        page = tmp_path / "page.html"
        page.write_text(text, encoding="utf-8")
        done = chromium("--virtual-time-budget=3000", "--dump-dom", page.as_uri() + fragment)
        console = tuple(line for line in done.stderr.splitlines() if "CONSOLE" in line)
        return Loaded(dom=done.stdout, console=console)

    return go
