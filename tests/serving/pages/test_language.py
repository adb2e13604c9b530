"""Both languages say the same things, and nothing is said outside of them."""

import re
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment

from serving.pages.language import LANGUAGES, choose, language
from serving.reasons import Bound, Code, Disclosure
from serving.words import PHRASES

PAGES = Path("serving/pages")
TEMPLATES = sorted((PAGES / "templates").glob("*.j2"))
SPOKEN = ("title", "alt", "placeholder", "aria-label", "aria-valuetext", "content", "label")
"""Attributes that people read or hear."""


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_catalogs_have_the_same_keys_and_put_the_same_values_in() -> None:
    first, *others = (language(code).texts for code in LANGUAGES)
    for other in others:
        assert set(first) == set(other)
        assert {key for key in first if fields(first[key]) != fields(other[key])} == set()
    assert all(text.strip() or key == "" for code in LANGUAGES for key, text in language(code).texts.items())


def test_no_template_says_anything_by_itself() -> None:
    lexer = Environment()
    for path in TEMPLATES:
        data = "".join(part if kind == "data" else "\0" for _, kind, part in lexer.lex(path.read_text("utf-8")))
        tags = re.findall(r"<[^>]*>", data)
        for tag in tags:
            for name, value in re.findall(r"([\w-]+)=\"([^\"]*)\"", tag):
                if name in SPOKEN and not tag.startswith("<meta"):
                    assert not re.search(r"[A-Za-z\u4e00-\u9fff]", value), (path.name, tag)
        said = re.sub(r"<[^>]*>|&\w+;", " ", data)
        assert re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", said) == ["doctype"] * said.count("doctype"), (path.name, said)


def test_no_script_or_style_says_anything_by_itself() -> None:
    script = (PAGES / "assets" / "page.js").read_text("utf-8")
    assert not re.search(r"textContent = [\"'`]|alert\(|innerHTML", script)
    assert not re.search(r"content: *[\"']\w", (PAGES / "assets" / "page.css").read_text("utf-8"))


def test_every_key_that_is_asked_for_is_there() -> None:
    texts = language("en").texts
    code = "\n".join(path.read_text("utf-8") for path in [*TEMPLATES, *PAGES.glob("*.py")])
    asked = set(re.findall(r"\bwords\(\s*[\"']([\w.]+)[\"']\s*[,)]", code))
    assert len(asked) > 100 and asked - set(texts) == set()


def test_every_word_of_the_closed_vocabularies_has_a_text() -> None:
    for code in LANGUAGES:
        words = language(code)
        for group, members in (("bound", Bound), ("code", Code), ("disclosure", Disclosure)):
            assert [one.value for one in members if not words.has(f"{group}.{one.value}")] == []
        assert [name for name in PHRASES if not words.has(f"feature.{name}")] == []


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "de,fr;q=0.9", "en"),
        ("", "en;q=0.5, zh-Hans;q=0.7", "zh"),
        ("", "zh;q=0, en", "en"),
        ("en", "zh", "en"),
        ("xx", "zh;q=high", "en"),
        ("", "," * 100_000, "en"),
    ],
)
def test_the_language_is_the_one_that_was_chosen_or_is_liked_best(chosen: str, accepted: str, expected: str) -> None:
    assert choose(chosen, accepted).code == expected


def test_numbers_money_and_dates_are_written_as_the_language_has_it() -> None:
    en, zh = language("en"), language("zh")
    assert (en.money(1234.5, "USD"), zh.money(-1234.5, "USD")) == ("1,234.50 USD", "−1,234.50 美元")
    assert (en.share(0.123, 1), zh.share(0.123, 1)) == ("12.3 %", "12.3%")
    assert (en.day("2018-01-31"), zh.day("2018-01-31")) == ("31 January 2018", "2018年1月31日")
    assert (en.time("2018-01-31T08:05:00Z"), zh.time("2018-01-31T08:05:00Z")) == (
        "31 January 2018, 08:05 UTC",
        "2018年1月31日 08:05（UTC）",
    )
    assert (en.range(-0.1, 2, "EUR"), zh.range(-0.1, 2, "XYZ")) == ("−0.10 to 2.00 EUR", "−0.10 至 2.00 XYZ")
    assert en.day("soon") == "soon" and en.count("compare.added", 1).startswith("1 customer ")


def test_what_is_put_in_is_never_read_as_a_pattern() -> None:
    assert "{words}" in language("en")("customers.heading", id="{words}{0}")
