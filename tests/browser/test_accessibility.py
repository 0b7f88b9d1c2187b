"""No page has a fault that axe-core finds: contrast, names, landmarks, headings, keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from analyzer.report import html
from tests.conftest import ROOT
from tests.web.serving import Server

pytestmark = pytest.mark.browser
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
SIZES = [(1440, "light"), (390, "dark")]


def faults(page: Page) -> list[str]:
    """What axe-core finds on the page as it is, everything folded open."""
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server."""
    made = Server(tmp_path_factory.mktemp("serve"))
    yield made
    made.stop()


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_reports(sample: Any, browser: Browser, tmp_path: Path, width: int, scheme: Any) -> None:
    """Incidents of two kinds, none, and two incidents of one cause."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    alike = ROOT / "reports/table-full-silent/report.html"
    for text in (html.render(sample.both()), html.render(sample.clean()), alike.read_text(encoding="utf-8")):
        (tmp_path / "report.html").write_text(text, encoding="utf-8")
        page.goto((tmp_path / "report.html").as_uri())

        assert [] == faults(page)
    context.close()


def test_upload_pages(browser: Browser, server: Server) -> None:
    """Signing in, the list, an upload that holds a file, and what is refused."""
    upload, _ = server.begin("cni0.pcap", 100)
    for width, scheme in SIZES:
        context = browser.new_context(
            base_url=server.url,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        for path in ("/", f"/?token={server.token}", f"/uploads/{upload}", "/uploads/none"):
            page.goto(path)

            assert [] == faults(page), path
        context.close()
