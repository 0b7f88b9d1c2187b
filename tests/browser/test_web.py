"""The upload application in a real browser: dropped, followed, read; in the dark, on a phone, without a mouse or script."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import FIXTURES
from tests.web.serving import PATIENCE, Server

pytestmark = pytest.mark.browser
# What is looked at and analysed runs at the lowest priority, beside all the other tests.
expect.set_options(timeout=1000 * PATIENCE)

FOLDER = FIXTURES / "snat-race"
NAMES = ("veth-a.pcap", "cni0.pcap", "eth0.pcap", "conntrack-S-before.txt", "conntrack-S-after.txt")
VERDICT = "SYNs vanished between cni0 and eth0"
_DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const { name, text } of files) {
    transfer.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector(".zone").dispatchEvent(
      new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server."""
    made = Server(tmp_path_factory.mktemp("serve"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def done(server: Server) -> str:
    """Return the address of an upload that was analysed."""
    upload = server.post({name: (FOLDER / name).read_bytes() for name in NAMES}, name="checkout timeouts")[
        "id"
    ]
    server.ended(upload)
    server.recognised(upload)
    return f"/uploads/{upload}"


@pytest.fixture
def enter(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a window of its own, signs in by the printed address, and goes to a path."""
    contexts = []
    complaints: list[str] = []

    def go(path: str = "/", *, expected: str = "ERR_FAILED", **options: Any) -> Page:
        context = browser.new_context(base_url=server.url, **options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        # From the beginning: Chromium is told that choosers are handled without waiting for its answer.
        page.on("filechooser", lambda _: None)
        page.on("console", lambda message: expected in message.text or complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{path}?token={server.token}")
        return page

    yield go
    for context in contexts:
        context.close()
    assert [] == complaints


def _drop(page: Page, *names: str) -> None:
    texts = {name: base64.b64encode((FOLDER / name).read_bytes()).decode() for name in names}
    page.evaluate(_DROP, [{"name": name, "text": text} for name, text in texts.items()])


def test_from_drop_to_report(enter: Callable[..., Page]) -> None:
    """Dropped files are recognised, what is missing is said, the analysis is followed, the report read, all in one page."""
    page = enter()
    page.get_by_label("Name").fill("dropped")
    _drop(page, "cni0.pcap", "conntrack-S-before.txt")
    expect(page.locator("h1")).to_have_text("dropped")
    expect(page.locator("#recognised tbody tr")).to_have_count(1)
    expect(page.locator(".missing")).to_contain_text("no capture of the uplink")
    expect(page.locator(".missing")).to_contain_text("only one output of conntrack -S")

    _drop(page, "veth-a.pcap", "eth0.pcap", "conntrack-S-after.txt")
    expect(page.locator("#recognised tbody tr")).to_have_count(3)
    expect(page.locator(".missing")).to_have_count(0)
    expect(page.locator("#recognised tbody tr").nth(2)).to_contain_text("408")
    expect(page.get_by_label("Role of eth0")).to_have_value("")

    page.get_by_role("button", name="Analyse").click()
    expect(page.locator(".verdict")).to_contain_text(VERDICT)
    assert page.get_by_role("link", name="JSON").count() == 1
    page.get_by_role("link", name="Read the report").click()
    expect(page.locator("h1")).to_contain_text(VERDICT)
    # It runs its own script, in an origin of its own.
    assert page.evaluate("origin") == "null"
    assert page.locator("button.copy:visible").count() > 0


def test_a_corrected_role_is_used(enter: Callable[..., Page], server: Server) -> None:
    """A role that the reader corrects is the analysis', and the page says that it was corrected."""
    page = enter()
    _drop(page, "cni0.pcap", "eth0.pcap")
    page.get_by_label("Role of cni0").select_option("pod")
    page.get_by_role("button", name="Analyse").click()
    expect(page.locator(".verdict")).to_contain_text("between cni0 and eth0")

    expect(page.locator("#recognised")).to_contain_text("corrected")
    report = server.client.get(page.url.replace("/uploads/", "/api/uploads/") + "/report.json").json()
    assert {"cni0": "pod", "eth0": "uplink"} == {point["name"]: point["role"] for point in report["points"]}


def test_a_broken_transfer_goes_on(enter: Callable[..., Page], server: Server) -> None:
    """When the connection breaks the page says so, and the transfer goes on by itself."""
    page = enter()
    broken: list[str] = []

    def break_once(route: Any) -> None:
        if route.request.method == "PATCH" and not broken:
            broken.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/files/*", break_once)
    _drop(page, "cni0.pcap")
    expect(page.locator("[data-note]")).to_contain_text("goes on by itself")
    expect(page.locator("#arrived")).to_contain_text("capture of cni0")
    expect(page.locator("[data-note]")).to_be_hidden()
    (file,) = server.get(page.url.rpartition("/")[2])["files"]
    assert file["received"] == (FOLDER / "cni0.pcap").stat().st_size


def test_an_incomplete_file_is_resumed(enter: Callable[..., Page], server: Server) -> None:
    """Choosing a file again whose transfer broke off goes on where it was; one that is there already is not sent again."""
    data = (FOLDER / "cni0.pcap").read_bytes()
    upload, url = server.begin("cni0.pcap", len(data))
    server.client.patch(url, content=data[:20_000], headers={"Upload-Offset": "0"})
    page = enter(f"/uploads/{upload}")
    offsets: list[str | None] = []
    page.on("request", lambda request: offsets.append(request.headers.get("upload-offset")))
    expect(page.locator("#arrived")).to_contain_text("20 kB of 36.1 kB")
    page.get_by_label("Drop further files here").set_input_files([FOLDER / "cni0.pcap"])
    expect(page.locator("#arrived progress")).to_have_count(0)
    page.get_by_label("Drop further files here").set_input_files([FOLDER / "cni0.pcap"])
    page.wait_for_load_state("networkidle")

    assert ["20000"] == [offset for offset in offsets if offset]
    assert [True] == [file["complete"] for file in server.get(upload)["files"]]


def test_an_upload_that_somebody_else_deletes(enter: Callable[..., Page], server: Server) -> None:
    """Whoever looks at it is told, and is at the list; the sentence goes when something new begins."""
    upload = server.client.post("/api/uploads", json={"name": "short-lived"}).json()["id"]
    page = enter(f"/uploads/{upload}", expected="404 (Not Found)")
    expect(page.locator("h1")).to_have_text("short-lived")
    server.client.delete(f"/api/uploads/{upload}")

    expect(page.locator("[data-note]")).to_have_text("This upload was deleted.")
    expect(page).to_have_url(f"{server.url}/")
    expect(page.locator("#uploads")).not_to_contain_text("short-lived")
    _drop(page, "eth0.pcap")
    expect(page.locator("#arrived")).to_contain_text("capture of eth0")
    expect(page.locator("[data-note]")).to_be_hidden()


def test_without_a_script(enter: Callable[..., Page]) -> None:
    """All of it works without JavaScript: upload, recognition, analysis, report, share, delete."""
    page = enter(java_script_enabled=False)
    page.get_by_label("Name").fill("plain")
    page.get_by_label("Drop captures").set_input_files([FOLDER / name for name in NAMES])
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#recognised tbody tr")).to_have_count(3)  # it reloads itself
    page.get_by_role("button", name="Analyse").click()
    expect(page.locator(".verdict")).to_contain_text(VERDICT)
    page.get_by_role("button", name="Make a link").click()
    page.get_by_role("link", name="Open it").click()
    expect(page.locator("h1")).to_contain_text(VERDICT)
    page.go_back()
    page.locator("#delete summary").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("#uploads")).not_to_contain_text("plain")


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on what bears a name, and is seen to be there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            "(({ activeElement: e }) => [e.ariaLabel || e.labels?.[0]?.textContent || e.textContent, "
            "getComputedStyle(e).outlineStyle])(document)"
        )
        if focus[0].strip().startswith(name):
            assert focus[1] != "none"
            return
    pytest.fail(f"Tab never came to {name}")


def test_by_keyboard_alone(enter: Callable[..., Page]) -> None:
    """Everything can be reached and done with the keyboard, and the focus is always seen."""
    page = enter()
    _tab_to(page, "Name")
    page.keyboard.type("typed")
    _tab_to(page, "Drop captures")
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Enter")
    chosen.value.set_files([FOLDER / name for name in NAMES])
    expect(page.locator("#recognised tbody tr")).to_have_count(3)
    _tab_to(page, "Role of veth-a")
    _tab_to(page, "Analyse")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_visible()
    _tab_to(page, "Read the report")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(VERDICT)
    page.go_back()
    _tab_to(page, "Delete this upload")
    page.keyboard.press("Enter")
    _tab_to(page, "Delete it")
    page.keyboard.press("Enter")
    expect(page.locator("#uploads")).not_to_contain_text("typed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(enter: Callable[..., Page], done: str, scheme: str) -> None:
    """In light and dark, from a desk to a phone, no page is wider than its window, and its colours are the scheme's."""
    page = enter(color_scheme=scheme)
    for path in ("/", "/?q=nothing", done):
        page.goto(path)

        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(253, 253, 251)" if scheme == "light" else "rgb(21, 24, 28)"
        )
        for width in (1200, 390, 320):
            page.set_viewport_size({"width": width, "height": 800})

            assert width == page.evaluate("document.documentElement.scrollWidth"), path


def test_the_list_follows(enter: Callable[..., Page], server: Server) -> None:
    """What others bring appears by itself, with its result when there is one; the report leads back to its upload."""
    page = enter()
    server.post({name: (FOLDER / name).read_bytes() for name in NAMES}, name="followed")
    row = page.locator("#rows tr", has_text="followed")
    expect(row).to_contain_text(VERDICT)
    row.get_by_role("link", name="followed").click()
    page.get_by_role("link", name="Read the report").click()
    page.get_by_role("link", name="Back to the upload").click()
    expect(page.locator("h1")).to_have_text("followed")


def test_search(enter: Callable[..., Page], done: str) -> None:
    """A search finds an upload by its name, its verdict and its files; what it does not find it says."""
    page = enter()
    for words, count in (
        ("checkout", 1),
        ("vanished checkout", 1),
        ("veth-a checkout", 1),
        ("no such thing", 0),
    ):
        page.get_by_role("searchbox").fill(words)
        page.get_by_role("searchbox").press("Enter")
        expect(page.locator("#uploads tbody tr")).to_have_count(count)
    expect(page.locator("#uploads")).to_contain_text("No upload has no such thing in its name")
