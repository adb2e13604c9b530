"""The campaign page in a real browser, served by a process of its own over a store of signed versions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from serving.keys import Trusted
from serving.lookup import Lookup
from serving.online.service import Settings
from serving.store import Store
from tests.serving.pages.conftest import shop_of
from tests.serving.served import serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = {"laptop": (1280, 800), "phone": (360, 740)}
PAGES = (
    "",
    "/customers?q=0007",
    "/customers?q=new&f.weeks_since_visit=6",
    "/budget?step=2",
    "/compare",
    "/versions",
    "/files",
)


@dataclass
class Visit:
    """A page of the browser that notes what it asks for and what it complains of."""

    page: Page
    address: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str = "") -> Page:
        self.page.goto(f"{self.address}/campaign{path}")
        return self.page

    def check(self) -> None:
        """Nothing left the host, and nothing was complained of."""
        assert [one for one in self.asked if not one.startswith((self.address + "/", "data:", "blob:"))] == []
        assert self.complaints == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def read(opened: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where a page is that nothing is changed by, and a key to it."""
    yield from _served(shop_of(opened, tmp_path_factory.mktemp("read")))


@pytest.fixture
def acted(shop: Settings) -> Iterator[tuple[str, str]]:
    yield from _served(shop)


def _served(settings: Settings) -> Iterator[tuple[str, str]]:
    with serving(settings) as running:
        yield f"http://127.0.0.1:{running.client.port}", running.client.token


def visit(browser: Browser, where: tuple[str, str], size: str = "laptop", **settings: Any) -> Visit:
    """Log in with the keyboard alone."""
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}, **settings).new_page()
    page.set_default_timeout(20_000)
    found = Visit(page, where[0])
    page.on("request", lambda request: found.asked.append(request.url))
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.go()
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(where[1])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{where[0]}/campaign")
    return found


def test_a_campaign_is_read_searched_compared_and_downloaded(
    browser: Browser, read: tuple[str, str], opened: Path
) -> None:
    found = visit(browser, read, locale="en-GB")
    page = found.page
    expect(page.locator("h1")).to_have_text("Campaign “spring-2018”")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")

    page.get_by_role("link", name="Customers").click()
    page.get_by_label("Customer").press_sequentially("0007")
    row = Lookup.of(opened / "first").lookup("0007")
    assert row is not None
    expect(page.locator("#found .lead")).to_have_text(str(row["reason"]))
    expect(page.get_by_role("status")).to_have_text("Customer 0007 found")
    expect(page.locator("#found .outcome")).to_have_text(str(row["offer_label"]))
    page.get_by_label("Customer").fill("somebody")
    page.get_by_label("Weeks since the last visit").fill("6")
    page.get_by_role("button", name="Apply the rules").click()
    expect(page.locator("#ruled h3")).to_have_text("Most likely: 2 USD coupon")

    found.go("/budget")
    slider = page.get_by_role("slider")
    expect(page.locator("#curve[data-drawn=yes] canvas")).to_be_visible()
    before = page.locator("#curve canvas").evaluate("canvas => canvas.toDataURL()")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#result h2")).to_contain_text("At a budget of 48 USD")
    assert "48 USD: gain 0.02 USD per customer and week, 95 % interval" in (
        slider.get_attribute("aria-valuetext") or ""
    )
    assert page.locator("#curve canvas").evaluate("canvas => canvas.toDataURL()") != before
    expect(page.locator("#result tbody").last.locator("tr")).to_have_count(25)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download this table").click()
    assert len(Path(download.value.path()).read_text("utf-8-sig").splitlines()) == 301

    page.get_by_role("link", name="Compare").click()
    expect(page.locator("#result h2")).to_contain_text("150 of 300 decisions change (50.0 %)")
    page.get_by_label("After").select_option("1")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#result")).to_contain_text("Choose two different versions.")

    page.get_by_role("link", name="Downloads").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download policy.xlsx").click()
    assert download.value.suggested_filename == "offersmith-v000001-policy.xlsx"
    assert Path(download.value.path()).read_bytes() == (opened / "first" / "policy.xlsx").read_bytes()
    page.get_by_role("link", name="中文").click()
    expect(page.locator("h1")).to_have_text("下载")
    page.get_by_role("button", name="退出").click()
    expect(page.locator("h1")).to_have_text("登录")
    found.check()


def test_a_second_person_approves_and_rolls_back_and_the_key_stays_in_the_browser(
    browser: Browser, acted: tuple[str, str], shop: Settings
) -> None:
    found = visit(browser, acted, locale="en-GB")
    page, keys = found.page, shop.state.parent / "keys"
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    found.go("/versions")
    page.get_by_role("button", name="Approve version 2").click()
    page.get_by_label("Private key of bo").set_input_files(keys / "ana.pem")
    page.get_by_role("button", name="Sign and send").click()
    expect(page.get_by_role("alert")).to_have_text("This is not the key of bo that is trusted here. Nothing was sent.")
    page.get_by_label("Private key of bo").set_input_files(keys / "trusted" / "bo.json")
    page.get_by_role("button", name="Sign and send").click()
    expect(page.get_by_role("alert")).to_contain_text("no private key of that kind")
    page.get_by_label("Private key of bo").set_input_files(keys / "bo.pem")
    page.get_by_role("button", name="Sign and send").click()
    expect(page.locator(".notice.good")).to_contain_text("Approved.")
    expect(page.locator(".lead")).to_have_text("Version 2 counts for 100 % of the customers.")

    page.get_by_label("Why").fill("redeemed twice as often as expected")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_label("Private key of bo").set_input_files(keys / "bo.pem")
    page.get_by_role("button", name="Sign and send").click()
    expect(page.locator(".notice.good")).to_contain_text("Rolled back.")
    expect(page.locator(".acts li").first).to_contain_text("bo went back to version 1: redeemed twice as often")
    found.check()
    assert sum("signature=" in one for one in sent) == 2
    assert not any("PRIVATE" in one for one in sent)
    assert shop.store is not None and shop.trusted is not None
    store = Store(shop.store, Trusted.read(shop.trusted))
    assert [act.by for act in store.history()] == ["ana", "ana", "bo", "bo"] and store.current().version == 1


@pytest.mark.parametrize(
    ("size", "locale", "scheme"), [("laptop", "zh-CN", "dark"), ("phone", "en-GB", "light"), ("phone", "zh-CN", "dark")]
)
def test_every_page_fits_and_can_be_used_with_the_keyboard(
    browser: Browser, read: tuple[str, str], size: str, locale: str, scheme: Any
) -> None:
    found = visit(browser, read, size, locale=locale, color_scheme=scheme)
    page = found.page
    for path in PAGES:
        found.go(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], path
        assert page.evaluate("document.documentElement.lang").startswith(locale[:2])
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]), select, button')]"
            ".filter(one => !(one.labels?.length || one.textContent.trim() || one.hidden)).map(one => one.outerHTML)"
        )
        assert unnamed == [], path
        assert page.evaluate("[...document.querySelectorAll('table')].every(one => one.caption?.textContent.trim())")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", path
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len(ids) == len(set(ids)), path
    found.check()


def test_the_page_works_without_scripts(browser: Browser, read: tuple[str, str]) -> None:
    found = visit(browser, read, locale="en-GB", java_script_enabled=False)
    page = found.page
    found.go("/customers")
    page.get_by_label("Customer").fill("0007")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#found h2").first).to_have_text("Customer 0007")
    found.go("/budget")
    expect(page.get_by_role("button", name="Show")).to_be_visible()
    found.go("/versions")
    page.get_by_role("button", name="Approve version 2").click()
    expect(page.get_by_role("button", name="Sign and send")).to_be_disabled()
    found.check()
