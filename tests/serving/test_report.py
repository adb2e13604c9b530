"""The report is one file that needs nothing else, says what it should on its first screen, and trusts no text."""

import re
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from campaigns.errors import InputError
from serving import summary
from serving.report import render, write_report
from serving.report_data import Interval, ReportData
from serving.section import Heading, Note, Section, Table

EVIL = "<script>alert('$x$')</script>"


@pytest.fixture(scope="module")
def page(report):
    return render(report)


def test_the_same_data_give_the_same_bytes(page, plain_report, tmp_path):
    write_report(ReportData.from_plain(plain_report), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == page


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert not re.search(r"<(script|link|iframe|object|embed|img)\b", page)
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page.replace("xlink:href=", "href="))
    assert "url(http" not in page
    assert "@import" not in page


def test_every_section_and_chart_is_there(page):
    for section in (
        "policy",
        "curve",
        "agents",
        "data",
        "response",
        "numbers",
        "limits",
        "glossary",
    ):
        assert f'<section id="{section}">' in page
        assert f'href="#{section}"' in page
    assert page.count("<svg") == page.count('role="img" aria-label="') == page.count("<figcaption>") == 4


def test_identifiers_inside_the_page_are_unique(page):
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))


def test_colours_come_from_the_page_so_that_both_themes_can_be_read(page):
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--series-1)" in drawn
    assert not re.search(r"(?:fill|stroke): #", drawn)


def test_names_from_the_data_are_inert(report):
    policy = report.policy.assign(offer_label=EVIL)
    customers = report.customers.assign(segment=EVIL)
    agents = (*report.agents, replace(report.agents[1], agent=EVIL))
    curve = {**report.curve, EVIL: report.curve["ppo"]}
    provenance = (replace(report.provenance[0], source=EVIL),)
    page = render(
        replace(report, policy=policy, customers=customers, agents=agents, curve=curve, provenance=provenance,
                notes=(EVIL,), source=EVIL, manifest={**report.manifest, "config": {"name": EVIL}})
    )  # fmt: skip
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8


def test_text_in_other_scripts_is_drawn_without_complaint(report):
    assert "优惠券" in render(replace(report, policy=report.policy.assign(offer_label="2 元优惠券")))


def test_a_policy_without_offers_says_so(report):
    head = replace(
        report.headline, with_offer=0, uplift=Interval(0.0, 0.0, 0.0), cost=Interval(0.0, 0.0, 0.0), roi=None
    )
    policy = report.policy.assign(offer="none", offer_label="no offer")
    page = render(replace(report, headline=head, policy=policy, curve={}, chosen="no_offer"))
    assert "Make no offer to any of the 300 customers this week" in page
    assert "No agent spends anything" in page


def test_what_could_not_be_estimated_is_said(report):
    response = replace(report.response, redemption=None)
    assert "not estimable" in render(replace(report, response=response))
    assert 'id="response"' in render(replace(report, response=replace(response, visit=None, spend=())))


@pytest.mark.parametrize(
    ("lo", "hi", "words"),
    [(1.0, 9.0, "a gain is likely"), (-1.0, 9.0, "may bring nothing"), (-9.0, -1.0, "expect a loss")],
)
def test_the_first_screen_says_how_sure_it_is(report, lo, hi, words):
    head = replace(report.headline, uplift=Interval((lo + hi) / 2, lo, hi))
    assert words in summary.honesty(replace(report, headline=head))
    assert "12 of 18 numbers are assumed" in summary.honesty(report)


@pytest.mark.parametrize(
    ("lo", "hi", "title"),
    [
        (1.0, 9.0, "Make an offer to 268 of 300 customers this week"),
        (-1.0, 9.0, "Test an offer to 268 of 300 customers before you rely on it: it may bring nothing"),
        (0.0, 0.0, "Test an offer to 268 of 300 customers before you rely on it: it may bring nothing"),
        (-9.0, -1.0, "Make no offers this week: those to 268 of 300 customers are expected to lose money"),
    ],
)
def test_the_headline_recommends_only_offers_that_are_shown_to_pay(report, lo, hi, title):
    head = replace(report.headline, uplift=Interval((lo + hi) / 2, lo, hi))
    page = render(replace(report, headline=head))
    assert f"<h1>{title}</h1>" in page
    assert f"<title>Offersmith: {title}</title>" in page


def test_whom_the_policy_does_not_decide_for_is_said_on_the_first_screen(report, page):
    aside = "The policy decides for 300 of 350 customers; to compare it with, 50 none."
    first, _ = render(replace(report, aside=aside)).split("<nav")
    assert f"{aside} The figures of this page are of those for whom the policy decides." in first
    assert "for whom the policy decides" not in page


def test_agents_are_called_different_only_where_intervals_part(report):
    assert "PPO (chosen) and knapsack, the best other one, overlap" in summary.comparison(report)
    far = replace(report.agents[0], uplift=Interval(0.5, 0.4, 0.6))
    assert "the chosen one is better" in summary.comparison(replace(report, agents=(far, *report.agents[1:])))


def test_rules_that_keep_too_little_are_not_praised(report):
    less = replace(report.segments, enough=False, uplift_kept=0.8)
    assert "keep 80 % of its expected gain" in summary.distilled(replace(report, segments=less))
    assert "less than was asked" in summary.distilled(replace(report, segments=less))


def test_a_share_of_the_gain_that_cannot_be_told_is_not_given(report):
    unclear = replace(report, segments=replace(report.segments, enough=False, uplift_kept=None))
    assert "keep of its expected gain cannot be told" in summary.distilled(unclear)
    assert "less than was asked" not in summary.distilled(unclear)
    nothing = replace(report.headline, with_offer=0)
    none = replace(unclear, headline=nothing, policy=report.policy.assign(offer="none"))
    assert "expected gain" not in summary.distilled(none)


def test_data_that_contradict_themselves_are_refused(report):
    with pytest.raises(InputError, match="chosen agent 'dqn' was not judged; expected one of ppo"):
        replace(report, chosen="dqn")
    with pytest.raises(InputError, match="the headline counts 7 offers to 300 customers, the policy 268 to 300"):
        replace(report, headline=replace(report.headline, with_offer=7))
    with pytest.raises(InputError, match="column 'segment' is missing"):
        replace(report, customers=report.customers.drop(columns="segment"))


def test_money_is_in_the_shops_own_currency(report):
    customers = report.customers.rename(columns={"spend_per_week_usd": "spend_per_week_eur"})
    page = render(replace(report, currency="EUR", customers=customers))
    assert "+18 EUR" in page
    assert "Money is EUR per customer" in page


def test_no_interval_is_shown_where_none_was_computed(report):
    head = replace(report.headline, cost=Interval(15.0, 15.0, 15.0))
    gain, cost = summary.tiles(replace(report, headline=head))[:2]
    assert gain.line.startswith("95 % interval 4 to 32 USD; ")
    assert "interval" not in cost.line


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_headline_first_and_asks_the_network_for_nothing(report, tmp_path, scheme):
    write_report(report, tmp_path / "report.html")
    address, requests, complaints = (tmp_path / "report.html").as_uri(), [], []
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*quiet, "--disable-component-update", "--disable-sync"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        first = page.locator("header, #first")
        boxes = [first.nth(i).bounding_box() for i in range(2)]
        title = page.locator("h1").inner_text()
        width = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size({"width": 390, "height": 844})
        narrow = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert requests == [address]
    assert complaints == []
    assert title == summary.recommendation(report)
    assert boxes[1]["y"] + boxes[1]["height"] <= 800
    assert np.all(np.array([width, narrow]) <= [1280, 390])


def test_a_section_shows_its_verdict_heading_text_and_table(report):
    section = Section(
        "shelf",
        "What stands on the shelf",
        "Enough, by & large.",
        (
            Heading("By aisle"),
            Note("Counted twice."),
            Table("Aisles", ("Aisle", "Goods", "Word"), (("1", "20", "<b>"),), ("Word",)),
        ),
    )
    page = render(replace(report, sections=(section,)))
    assert '<a href="#shelf">What stands on the shelf</a>' in page
    assert "<strong>Enough, by &amp; large.</strong>" in page
    assert "<h3>By aisle</h3>" in page and "<p>Counted twice.</p>" in page
    assert '<td class="n">20</td><td>&lt;b&gt;</td>' in page


def test_a_row_that_does_not_fit_its_headings_is_refused():
    with pytest.raises(ValueError, match="does not have 2 cells"):
        Table("Aisles", ("Aisle", "Goods"), (("1",),))
