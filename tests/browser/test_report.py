"""The HTML report in a real browser."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.incident.model import Advice
from analyzer.report import html

pytestmark = pytest.mark.browser

# A page in a frame of another origin cannot be measured from outside, so it tells its widths itself.
_MEASURE = """<script>
addEventListener("load", () => {
  const inside = ".scroll, pre, code, svg";
  const all = [...document.querySelectorAll("body *")];
  const own = all.filter((e) => !e.parentElement.closest(inside));
  const widest = Math.ceil(Math.max(...own.map((e) => e.getBoundingClientRect().right)));
  parent.postMessage(`${document.documentElement.scrollWidth} ${innerWidth} ${widest}`, "*");
});
</script>"""
_FRAME = """<!doctype html><body><p id="out"></p>
<script>addEventListener("message", (e) => { document.getElementById("out").textContent = e.data; });</script>
<iframe src="inner.html" width="WIDTH" height="800"></iframe></body>"""


@pytest.mark.parametrize("name", ["both", "clean", "empty", "many"])
def test_loads_without_complaint(sample: Any, load: Callable[..., Any], name: str) -> None:
    """The page loads without a console message: no error, and nothing that its own policy refuses."""
    analysis = sample.many(600) if name == "many" else getattr(sample, name)()
    loaded = load(html.render(analysis))

    assert () == loaded.console
    assert "</main>" in loaded.dom


def test_what_to_capture_next(sample: Any, load: Callable[..., Any]) -> None:
    """Where nothing can be concluded the page says so, and the command for the next capture can be copied."""
    advice = Advice(
        situation="Only eth0.", tells="Counts.", hides="Losses.", next="Record.", command="tcpdump -i cni0"
    )
    page = html.render(dataclasses.replace(sample.empty(), inconclusive="only eth0", advice=(advice,)))
    loaded = load(page)
    section = loaded.dom.partition('<section id="advice">')[2].partition("</section>")[0]

    assert () == loaded.console
    assert all(text in section for text in dataclasses.astuple(advice))
    assert re.search('<button type="button" class="copy">', section)
    assert '<p class="beyond">Only eth0.</p>' in loaded.dom


def test_a_refused_script_would_be_seen(sample: Any, load: Callable[..., Any]) -> None:
    """A script that is not the page's own is refused, and the console that the tests read says so."""
    page = html.render(sample.clean()).replace(
        "</main>", "<script>document.title = 'broken'</script><img src='http://127.0.0.1:9/x.png'></main>"
    )
    loaded = load(page)

    assert len(loaded.console) >= 2
    assert all("Content Security Policy" in line for line in loaded.console)
    assert "<title>broken" not in loaded.dom


def test_the_script_runs(sample: Any, load: Callable[..., Any]) -> None:
    """With JavaScript the copy buttons appear; without it nothing shows that would not work."""
    page = html.render(sample.race())
    loaded = load(page)

    assert len(re.findall('<button[^>]*class="copy"[^>]*hidden', page)) > 5
    assert not re.findall('<button[^>]*class="copy"[^>]*hidden', loaded.dom)


def test_a_link_to_a_finding_opens_its_packets(sample: Any, load: Callable[..., Any]) -> None:
    """The packets of the finding that the address names are open, the others and the mappings stay closed."""
    loaded = load(html.render(sample.race()), "#syn-vanished-1.finding-2")

    assert [False, True, False, False] == ["open" in tag for tag in re.findall("<details[^>]*>", loaded.dom)]


@pytest.mark.parametrize("width", [1200, 768, 390, 320])
@pytest.mark.parametrize("name", ["both", "clean", "hostile"])
def test_nothing_overflows(
    sample: Any, load: Callable[..., Any], tmp_path: Path, width: int, name: str
) -> None:
    """From a desk to a phone, the page is as wide as its window; wide tables scroll by themselves."""
    analysis = sample.both() if name == "hostile" else getattr(sample, name)()
    page = html.render(analysis)
    if name == "hostile":  # Names that offer no place to break a line.
        page = (
            page.replace("veth1a2b", "v" * 200)
            .replace("node7-2026", "n" * 200)
            .replace("Three connections", "w" * 200)
        )
    page = re.sub("<meta http-equiv[^>]*>", "", page).replace("</body>", _MEASURE + "</body>")
    (tmp_path / "inner.html").write_text(page, encoding="utf-8")
    loaded = load(_FRAME.replace("WIDTH", str(width)))
    told = re.search(r'<p id="out">(\d+) (\d+) (\d+)</p>', loaded.dom)
    assert told
    scroll, inner, widest = map(int, told.groups())

    assert width == inner
    assert width == scroll
    assert widest <= width


def test_an_incident_can_be_printed_alone(sample: Any, chromium: Callable[..., Any], tmp_path: Path) -> None:
    """The address of one incident alone prints fewer pages than the whole report, without any script."""
    page = tmp_path / "page.html"
    page.write_text(
        re.sub("<script>.*?</script>", "", html.render(sample.both()), flags=re.DOTALL), encoding="utf-8"
    )

    def pages(fragment: str) -> int:
        out = tmp_path / "out.pdf"
        chromium("--no-pdf-header-footer", f"--print-to-pdf={out}", page.as_uri() + fragment)
        return len(re.findall(rb"/Type\s*/Page\b", out.read_bytes()))

    whole, race, late = pages(""), pages("#syn-vanished-1.alone"), pages("#invalid-reset-1.alone")

    assert 0 < race < whole
    assert 0 < late < whole
    assert race + late < whole
