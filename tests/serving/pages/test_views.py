"""What the pages show is what the table says: views without a browser."""

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.errors import InputError
from serving.by_budget import BY_BUDGET, STEPS
from serving.keys import Trusted
from serving.online.api_keys import Keys, Scope, create_key, revoke_key
from serving.online.service import Settings
from serving.online.tables import read_manifest
from serving.pages.budget import ROWS, budgets, csv_of, curve, rows_of, step_of
from serving.pages.comparison import comparison
from serving.pages.files import Files
from serving.pages.language import language
from serving.pages.office import do
from serving.pages.overview import overview
from serving.pages.phrases import say_reason, say_rule
from serving.pages.sessions import SECONDS, Sessions
from serving.publishing import FILES, read_policy
from serving.release import Release
from serving.rules import Segments
from serving.store import Store
from serving.table import PolicyTable
from tests.serving.signing import BO

EN, ZH = language("en"), language("zh")


@pytest.fixture
def release(folder: Path) -> Release:
    return Release(1, folder, read_manifest(folder))


def test_the_first_page_counts_what_the_table_gives(release: Release) -> None:
    rows = read_policy(release.folder).customers
    found = overview(release, None, (), EN)
    assert found.offered == int((rows["offer"] != "none").sum())
    assert sum(one.customers for one in found.shares) == found.customers == 300
    assert found.shares[0].nothing and found.shares[0].label == "no offer"
    assert max(one.part for one in found.shares) == 1.0
    assert (found.uplift.lo, found.uplift.value, found.uplift.hi) == pytest.approx((-0.05, 0.06, 0.15))
    assert sum(arm.share for arm in found.arms) == pytest.approx(1) and found.approval is None
    assert [rule.number for rule in found.rules] == list(range(1, len(found.rules) + 1))


def test_rules_say_the_same_conditions_in_both_languages(release: Release) -> None:
    for rule in Segments.from_dict(release.manifest["rules"]).rules:
        assert say_rule(rule, EN) == rule.text
        chinese = say_rule(rule, ZH)
        assert not any("A" <= letter.upper() <= "Z" for letter in chinese.replace("USD", ""))
        for condition in rule.conditions:
            for limit in (condition.at_least, condition.below):
                if limit is not None:
                    scale = 100 if condition.feature == "promo_share" else 1
                    assert f"{scale * limit:.10g}" in chinese or f"{scale * limit:.1f}" in chinese, chinese


def test_a_reason_is_the_tables_own_and_in_chinese_says_the_same(build: Callable[..., PolicyTable]) -> None:
    table = build(reason="away for 9 weeks, big baskets; 2 USD coupon is expected to bring 1 USD")
    row = table.customers[table.customers["offer"] == "coupon_2"].iloc[0].to_dict()
    segments = table.segments
    assert say_reason(row, segments, "USD", EN) == row["reason"]
    said = say_reason(row, segments, "USD", ZH)
    for part in (
        "已 9 周未到店",
        "客单价高",
        "“2 USD coupon”",
        f"{row['expected_uplift_usd']:.2f} 美元",
        "与规则 1 一致",
    ):
        assert part in said
    tried = {**row, "reason_codes": "explored; unlike_rule"}
    assert "不同" in say_reason(tried, segments, "USD", ZH) and "试用" in say_reason(tried, segments, "USD", ZH)
    capped = {**row, "bound": "contact_cap", "reason": "<b>; no offer: contact cap reached"}
    assert say_reason(capped, segments, "USD", ZH) == "<b>；不发优惠：已达触达次数上限"


def test_the_slider_has_the_budgets_of_the_manifest_and_the_published_one_at_first(release: Release) -> None:
    plain = release.manifest["budgets"]
    found = budgets(release.manifest, step_of("", release.manifest))
    assert found.chosen.published and found.chosen.step == 5 and len(found.all) == STEPS
    assert {one.label: one.customers for one in found.shares} == dict(found.before)
    drawn = curve(found, EN)
    assert drawn["uplift"] == [one["uplift"]["value"] for one in plain]
    assert all(low <= value <= high for low, value, high in zip(drawn["lo"], drawn["uplift"], drawn["hi"], strict=True))
    assert [step_of(text, release.manifest) for text in ("3", "11", "-1", "x", "²", "")] == [3, 5, 5, 5, 5, 5]


def test_pages_and_download_of_another_budget_hold_everybody_once(folder: Path) -> None:
    rows, path = read_policy(folder).by_budget, folder / BY_BUDGET
    wanted = [tuple(one) for one in rows.loc[rows["step"] == 3, ["customer_id", "offer"]].to_numpy()]
    pages = [rows_of(path, 3, page) for page in range(300 // ROWS + 1)]
    assert [row for page in pages for row in page[:ROWS]] == wanted
    assert [len(page) for page in pages] == [ROWS + 1] * (300 // ROWS - 1) + [ROWS, 0]
    text = b"".join(csv_of(path, 3, {"none": "nothing"})).decode("utf-8-sig")
    assert len(text.splitlines()) == 301 and '"\'=cmd()"' in text


def test_a_broken_file_of_budgets_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policy_by_budget.parquet: cannot be read .* publish the table again"):
        rows_of(tmp_path / BY_BUDGET, 3, 0)
    (tmp_path / BY_BUDGET).write_bytes(b"PAR1 is not enough")
    with pytest.raises(InputError, match="cannot be read"):
        list(csv_of(tmp_path / BY_BUDGET, 3, {}))


def test_only_files_as_they_were_published_are_handed_out(release: Release, tmp_path: Path) -> None:
    files = Files()
    listed = [row.name for row in files.listed(release)]
    assert sorted(listed) == sorted([*FILES, "manifest.json"]) and listed[0] == "policy.xlsx"
    for name in listed:
        assert files.verified(release, name).read_bytes()
    copied = Release(1, tmp_path, release.manifest)
    for name in listed:
        (tmp_path / name).write_bytes((release.folder / name).read_bytes())
    assert files.verified(copied, "policy.xlsx")
    for name in ("policy.xlsx", "manifest.json"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[:-3] + b" " + data[-2:] if name == "policy.xlsx" else b"{}")
        with pytest.raises(InputError, match="not handed out"):
            files.verified(copied, name)
    for name in ("../keys.json", "/etc/passwd", "keys.json", ""):
        with pytest.raises(InputError, match="has no file"):
            files.verified(copied, name)


def test_a_comparison_says_everything_in_the_readers_language(shop: Settings) -> None:
    plain = do({"task": "compare", "store": str(shop.store), "trusted": str(shop.trusted), "before": 1, "after": 2})
    diff = plain["done"]
    for words in (EN, ZH):
        found = comparison(diff, words)
        assert (found.changed, found.customers) == (150, 300) and sum(one.customers for one in found.moves) == 150
        assert {one.after for one in found.moves} == {"no offer"} and found.moves[0].part == 1.0
    figures = {one.name: one for one in comparison(diff, EN).figures}
    assert figures["Customers with an offer"].change.startswith("−150 (−")
    assert figures["Budget of arm “Optimised”"].change == "as before"
    more = {
        **diff,
        "catalog": ["'c5' (5 USD) is new", "'c2' has cap_cents 300 instead of 200", "currency is EUR instead of USD"],
        "settings": ["parts of arm holdout is 5 instead of 4", "not_after is 2018-01-14 instead of 2018-01-07"],
        "rules_added": ["a rule that nobody knows"],
    }
    said = comparison(more, ZH)
    assert said.sentences == (
        "新增 'c5' (5 USD)",
        "'c2' 的上限（分）：由 200 变为 300",
        "货币：由 USD 变为 EUR",
        "“保留组（无优惠）”组的比例（万分之）：由 4 变为 5",
        "优惠开始的最后一天：由 2018年1月7日 变为 2018年1月14日",
    )
    assert said.rules_added == ("a rule that nobody knows",)


def test_the_office_refuses_in_words(shop: Settings) -> None:
    told = do({"task": "compare", "store": str(shop.store), "trusted": str(shop.trusted), "before": 1, "after": 9})
    assert "there is no v000009" in told["refused"]


def test_an_act_is_proposed_signed_elsewhere_and_accepted(shop: Settings) -> None:
    from serving.acts import CONTEXT, Deed

    assert shop.store is not None and shop.trusted is not None
    store = Store(shop.store, Trusted.read(shop.trusted))
    with pytest.raises(InputError, match=r"ana.*may not approve it"):
        store.propose(Deed.APPROVE, "ana", 2)
    with pytest.raises(InputError, match="'ana', who may not rollback"):
        store.propose(Deed.ROLL_BACK, "ana", 1, "why")
    with pytest.raises(InputError, match="whom nobody trusts"):
        store.propose(Deed.APPROVE, "eve", 2)
    act = store.propose(Deed.APPROVE, "bo", 2)
    with pytest.raises(InputError, match="signature of 'bo' is not of these bytes"):
        store.accept(act.sealed(b"\0" * 64))
    assert store.current().version == 1 and len(store.history()) == 2
    signed = act.sealed(BO.sign(CONTEXT + act.text()))
    assert store.accept(signed).version == 2
    with pytest.raises(InputError, match="does not follow act 3"):
        store.accept(signed)
    back = store.propose(Deed.ROLL_BACK, "bo", 1, " too dear ")
    assert back.reason == "too dear"
    assert store.accept(back.sealed(BO.sign(CONTEXT + back.text()))).version == 1


def test_a_session_lasts_a_day_and_as_long_as_its_key(tmp_path: Path) -> None:
    token = create_key(tmp_path, [Scope.DECIDE], "reader")
    redeems = create_key(tmp_path, [Scope.REDEEM], "till")
    now = [1000.0]
    keys = Keys(tmp_path)
    sessions = Sessions(keys, lambda: now[0])
    assert sessions.begin(redeems) is None and sessions.begin(token + "x") is None and sessions.begin("") is None
    cookie = sessions.begin(token)
    assert cookie is not None and token not in cookie
    found = sessions.find(cookie)
    assert found is not None and not found.acts and sessions.find(cookie + "x") is None and sessions.find("") is None
    now[0] += SECONDS + 1
    assert sessions.find(cookie) is None
    again = sessions.begin(token)
    assert again is not None and sessions.find(again) is not None
    revoke_key(tmp_path, token.split("_")[1])
    keys.look()
    assert sessions.find(again) is None
