"""The pages over HTTP: who is let in, what a form may do, what is shown of tables that are broken, late or hostile."""

import html
import json
import re
import shlex
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest

from serving.acts import CONTEXT, Act, Deed
from serving.by_budget import BY_BUDGET
from serving.keys import Trusted
from serving.lookup import Lookup
from serving.online.api_keys import Scope, create_key, revoke_key
from serving.online.service import Settings
from serving.pages.acting import command_of
from serving.pages.sessions import COOKIE
from serving.store import Store
from serving.table import PolicyTable
from tests.serving.pages.conftest import EVIL, FORMULA, HERE, Visitor, visiting
from tests.serving.parted import export_in_parts
from tests.serving.served import DAY
from tests.serving.signing import ANA, BO, without_offer

PAGES = ("", "/customers", "/customers?q=0007", "/budget", "/budget?step=2", "/compare", "/versions", "/files")


def test_nothing_is_shown_to_whom_is_not_logged_in(visitor: Visitor) -> None:
    for path in (*PAGES, "/files/policy.xlsx", "/budget/3.csv"):
        answer = visitor.get(path)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/campaign/login?next=")
    assert visitor.get("/customers?q=1", HX_Request="true").headers["hx-redirect"].startswith("/campaign/login")
    assert visitor.post("/acts", {"act": ""}).status_code == 303
    assert visitor.get("/login").status_code == 200 and visitor.get("/nothing").status_code == 404


def test_an_api_key_opens_the_pages_and_its_cookie_is_for_them_alone(visitor: Visitor) -> None:
    assert visitor.post("/login", {"key": "osk_1_2"}).status_code == 403
    answer = visitor.post("/login", {"key": visitor.token, "next": "/campaign/budget?step=2"})
    assert answer.status_code == 303 and answer.headers["location"] == "/campaign/budget?step=2"
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/campaign", "max-age=28800"))
    for path in PAGES:
        assert visitor.get(path).status_code == 200, path
    answer = visitor.post("/logout", {"form": visitor.form})
    assert answer.status_code == 303 and visitor.get().status_code == 303


@pytest.mark.parametrize(
    "leads",
    ["https://evil.example/", "//evil.example", "/campaign/../v1", "/campaignx", "/campaign\\x", "javascript:1"],
)
def test_a_login_leads_to_no_other_place(visitor: Visitor, leads: str) -> None:
    assert visitor.post("/login", {"key": visitor.token, "next": leads}).headers["location"] == "/campaign"


def test_a_key_without_the_scope_opens_nothing_and_one_that_is_revoked_no_more(visitor: Visitor) -> None:
    state = visitor.service.settings.state
    assert visitor.post("/login", {"key": create_key(state, [Scope.REDEEM], "till")}).status_code == 403
    token = create_key(state, [Scope.DECIDE], "reader")
    visitor.service.keys.look()
    visitor.log_in(token)
    assert visitor.get().status_code == 200
    revoke_key(state, token.split("_")[1])
    visitor.service.keys.look()
    assert visitor.get().status_code == 303


def test_a_body_that_is_too_large_is_refused(visitor: Visitor) -> None:
    assert visitor.post("/login", {"key": "x" * 2**21}).status_code == 413
    assert visitor.post("/login", {f"key{i}": "" for i in range(100)}).status_code == 422


def test_wrong_keys_are_slowed_down(visitor: Visitor) -> None:
    found = [visitor.post("/login", {"key": "osk_1_2"}).status_code for _ in range(60)]
    assert found[0] == 403 and 429 in found


def test_every_page_forbids_other_sites_and_inline_scripts(reader: Visitor) -> None:
    for path in (*PAGES, "/login", "/nothing"):
        answer = reader.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=\"|style=\"|<style|javascript:", answer.text), path
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", answer.text)


def test_vendored_files_are_served_from_here_with_their_licences(reader: Visitor) -> None:
    text = reader.get("/budget").text
    for name in ("page.css", "page.js", "htmx.min.js", "echarts.simple.min.js", "icon.svg"):
        found = re.search(rf'"/campaign(/assets/[0-9a-f]{{12}}/{re.escape(name)})"', text)
        assert found is not None
        answer = reader.get(found[1])
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
        assert answer.content == (Path("serving/pages/assets") / name).read_bytes()
    assert reader.get("/assets/000000000000/page.js").status_code == 404
    names = {path.name for path in Path("serving/pages/assets").iterdir()}
    assert {"htmx.LICENSE.txt", "echarts.LICENSE.txt", "echarts.NOTICE.txt", "echarts.d3.LICENSE.txt"} <= names


def test_a_form_from_elsewhere_or_without_its_mark_is_refused(reader: Visitor) -> None:
    mark = {"form": reader.form}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9", ""):
        assert reader.post("/logout", mark, origin).status_code == 403
    assert reader.post("/logout", mark, HERE, Sec_Fetch_Site="cross-site").status_code == 403
    assert (
        reader.post("/logout", {"form": ""}).status_code == 403
        and reader.post("/logout", {"form": "x"}).status_code == 403
    )
    json_body = reader.ask("POST", "/campaign/logout", {"Origin": HERE, "Content-Type": "application/json"})
    assert json_body.status_code == 415
    assert reader.get().status_code == 200
    assert reader.post("/logout", mark).status_code == 303 and reader.get().status_code == 303


@pytest.mark.parametrize("name", [EVIL, FORMULA, "0007", "nobody", "ünï 店", "a" * 5000, "%", "'; DROP TABLE x; --"])
def test_any_name_can_be_searched_and_none_is_run(reader: Visitor, name: str) -> None:
    for language in ("en", "zh"):
        answer = reader.get(f"/customers?q={quote(name)}&lang={language}")
        assert answer.status_code == 200 and "<script>alert" not in answer.text
    if name == EVIL:
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text and "unknown" not in answer.text
    assert reader.get("/customers?q=0").text.count('href="?q=0') == 20


def test_a_customer_is_shown_with_everything_that_decided(reader: Visitor, folder: Path) -> None:
    row = next(one for one in Lookup.of(folder) if one["offer"] == "coupon_2")
    text = reader.get(f"/customers?q={row['customer_id']}").text
    for part in (
        row["offer_label"],
        row["reason"],
        "Optimised (85.0 % of the customers)",
        f"{100 * row['pscore']:.2f} %",
    ):
        assert part in text
    assert f"{row['expected_uplift_usd']:.2f} USD (95 % interval" in text and "Rule 1: " in text


def test_looking_at_a_customer_is_no_decision(reader: Visitor) -> None:
    reader.get("/customers?q=0007")
    reader.service.close()
    assert reader.service.log.written == 0 and sum(reader.service.decider.counts.values()) == 0


def test_rules_answer_for_a_customer_whom_the_table_does_not_know(reader: Visitor) -> None:
    text = reader.get("/customers?q=new&f.weeks_since_visit=6").text
    assert "Most likely: 2 USD coupon" in text and "Rule 1: no visit for at least 4 weeks" in text
    for wrong in ("f.weeks_since_visit=-1", "f.promo_share=nan", "f.promo_share=1e400", "f.weeks_since_visit=x"):
        assert "A number is missing, or outside of what it can be." in reader.get(f"/customers?q=new&{wrong}").text
    assert "Most likely" not in reader.get("/customers?q=new&f.height=3").text


def test_the_language_is_remembered(reader: Visitor) -> None:
    assert 'lang="zh-Hans"' in reader.get("", Accept_Language="zh-CN").text
    assert 'lang="en"' in reader.get("", Accept_Language="de").text
    assert "谁得到什么" in reader.get("?lang=zh").text
    assert "谁得到什么" in reader.get("", Accept_Language="en").text
    assert '<html lang="zh-Hans">' in reader.get("?lang=xx", Accept_Language="en").text


def test_files_come_as_downloads_and_nothing_else_does(reader: Visitor, folder: Path) -> None:
    names = re.findall(r'href="/campaign/files/([^"]+)"', reader.get("/files").text)
    assert len(names) == 8
    for name in names:
        answer = reader.get(f"/files/{name}")
        assert answer.status_code == 200 and answer.content == (folder / name).read_bytes()
        assert answer.headers["content-disposition"] == f'attachment; filename="offersmith-v000001-{name}"'
    for name in ("..%2f..%2fkeys.json", "keys.json", "%2e%2e/x", "policy.xlsx%00"):
        assert reader.get(f"/files/{name}").status_code == 404
    table = reader.get("/budget/3.csv")
    assert table.status_code == 200 and len(table.text.splitlines()) == 301


def test_it_works_without_a_table(tmp_path: Path) -> None:
    with visiting(Settings(tmp_path / "state", folder=tmp_path / "none", today=DAY)) as one:
        one.log_in()
        for path in PAGES:
            answer = one.get(path)
            assert answer.status_code == 200 and "There is no table: everybody gets no offer." in answer.text
        assert one.get("/files/policy.xlsx").status_code == 404 and one.get("/budget/3.csv").status_code == 404
        assert one.get("/customers?q=x&f.promo_share=0.3").status_code == 200


def test_it_says_what_is_wrong_with_a_table(shop: Settings) -> None:
    with visiting(shop) as one:
        one.log_in()
        assert shop.store is not None
        path = shop.store / "versions" / "v000001" / "policy.sqlite"
        path.parent.chmod(0o755)
        path.unlink()
        path.write_bytes(b"broken")
        for page in ("", "/customers?q=0007", "/versions", "/compare"):
            assert one.get(page).status_code in (200, 409)
        one.service._seen = b""
        one.service.refresh()
        text = one.get().text
        assert "The latest table could not be loaded." in text and "policy.sqlite: its bytes are not those" in text


def test_budgets_that_were_changed_are_not_shown(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "policy")
    with visiting(Settings(tmp_path / "state", folder=tmp_path / "policy", today=DAY)) as one:
        one.log_in()
        with (tmp_path / "policy" / BY_BUDGET).open("r+b") as stream:
            stream.seek(200)
            stream.write(b"changed")
        for page in ("/budget", "/budget/3.csv"):
            answer = one.get(page)
            assert answer.status_code == 409 and "not those that were published" in answer.text
        assert one.get().status_code == 200


def test_a_table_that_is_late_or_killed_says_so_on_every_page(folder: Path, tmp_path: Path) -> None:
    with visiting(Settings(tmp_path / "late", folder=folder, today=date(2019, 1, 1))) as one:
        text = one.log_in().get("/customers?q=0007").text
        assert "Its last day was 7 January 2018" in text and "which is not valid any more" in text
    with visiting(Settings(tmp_path / "killed", folder=folder, today=DAY), OFFERSMITH_KILL="1") as one:
        one.log_in()
        for page in PAGES:
            assert "The kill switch is pulled" in one.get(page).text


def act_on(visitor: Visitor, key: object, deed: str, version: int, reason: str = "") -> tuple[int, str]:
    """Do in the browser's place what it does with a key."""
    fields = {"form": visitor.form, "deed": deed, "version": str(version), "by": key.name, "reason": reason}  # type: ignore[attr-defined]
    page = visitor.post("/acts/propose", fields)
    if page.status_code != 200:
        return page.status_code, page.text
    found = re.search(r'name="act" value="([^"]*)"', page.text)
    assert found is not None
    text = html.unescape(found[1])
    signature = key.sign(CONTEXT + text.encode() + b"\n")  # type: ignore[attr-defined]
    answer = visitor.post("/acts", {"form": visitor.form, "act": text, "signature": signature.hex()})
    return answer.status_code, answer.headers.get("location", answer.text)


@pytest.mark.slow
def test_a_second_person_approves_and_rolls_back_with_their_own_key(shop: Settings) -> None:
    with visiting(shop, [Scope.PUBLISH]) as one:
        one.log_in()
        assert (
            "Version 2 waits for a second person: it changes 50 % of the decisions (ana published it)" in one.get().text
        )
        assert (
            "<option>bo</option>" in one.get("/versions").text
            and "<option>ana</option>" not in one.get("/versions").text
        )
        status, said = act_on(one, ANA, "approve", 2)
        assert status == 409 and "may not approve it" in said
        assert act_on(one, BO, "approve", 2) == (303, "/campaign/versions?done=approve&version=2")
        one.service.refresh()
        assert "Approved by" in one.get().text and one.service.release is not None and one.service.release.version == 2
        assert act_on(one, BO, "approve", 2)[0] == 409
        status, said = act_on(one, BO, "roll_back", 1)
        assert status == 409 and "no reason is given" in said
        assert act_on(one, BO, "roll_back", 1, EVIL)[0] == 303
        text = one.get("/versions?done=roll_back").text
        assert "Rolled back." in text and "&lt;script&gt;" in text and "<script>alert" not in text
        one.service.refresh()
        assert one.service.release.version == 1
    store = Store(shop.store, Trusted.read(shop.trusted))  # type: ignore[arg-type]
    assert [act.by for act in store.history()] == ["ana", "ana", "bo", "bo"] and store.current().version == 1


def test_the_command_line_does_the_same_and_runs_nothing_else() -> None:
    act = Act(3, "0" * 64, Deed.ROLL_BACK, "bo", "2018-01-01T08:00:00Z", 1, reason="$(rm -rf /) `x` '\"")
    told = shlex.split(command_of(act))
    assert told[:3] == ["python", "-m", "experiments.publish"] and told[-1] == f"publish.reason={act.reason}"
    assert "publish.act=roll_back" in told and "publish.version=1" in told and "publish.key=bo" in told


@pytest.mark.slow
def test_no_signature_and_no_other_act_does_anything(shop: Settings) -> None:
    with visiting(shop) as one:
        one.log_in()
        mark = {"form": one.form}
        page = one.post("/acts/propose", {**mark, "deed": "approve", "version": "2", "by": "bo"})
        text = re.search(r'name="act" value="([^"]*)"', page.text)[1].replace("&#34;", '"')  # type: ignore[index]
        wrong = ANA.sign(CONTEXT + text.encode() + b"\n").hex()
        assert "the signature of" in one.post("/acts", {**mark, "act": text, "signature": wrong}).text
        plain = json.loads(text)
        for act in ("", "{}", "[]", "[" * 9999, json.dumps({**plain, "deed": "publish"}), '{"changed": NaN}'):
            assert one.post("/acts", {**mark, "act": act, "signature": wrong}).status_code == 422
        other = json.dumps({**plain, "changed": float("nan")})
        assert one.post("/acts", {**mark, "act": other, "signature": wrong}).status_code == 422
        assert one.post("/acts", {"act": text, "signature": wrong}).status_code == 403
        for deed, version in (("publish", "2"), ("approve", "x"), ("approve", "9" * 50), ("", "")):
            sent = {**mark, "deed": deed, "version": version, "by": "bo"}
            assert one.post("/acts/propose", sent).status_code == 422
    assert len(Store(shop.store, Trusted.read(shop.trusted)).history()) == 2  # type: ignore[arg-type]


def test_a_key_that_only_reads_may_not_act(shop: Settings) -> None:
    with visiting(shop, [Scope.DECIDE]) as one:
        one.log_in()
        assert "Your API key reads only." in one.get("/versions").text
        assert one.post("/acts/propose", {"form": one.form, "deed": "approve", "version": "2"}).status_code == 403
        assert one.post("/acts", {"form": one.form}).status_code == 403


@pytest.mark.slow
def test_versions_are_compared_once_and_the_same_again_at_once(shop: Settings) -> None:
    with visiting(shop) as one:
        one.log_in()
        assert "From version 1 to version 2, 150 of 300 decisions change (50.0 %)" in one.get("/compare").text
        begun = time.perf_counter()
        assert "150 个" in one.get("/compare?before=1&after=2&lang=zh").text
        assert time.perf_counter() - begun < 0.5
        for pair in ("before=1&after=9", "before=1&after=1", "before=x&after=2", "before=0&after=1"):
            assert one.get(f"/compare?{pair}").status_code == 200


def test_the_old_ways_in_still_lead_to_the_page(reader: Visitor) -> None:
    answer = reader.ask("GET", "/", {})
    assert answer.status_code == 303 and answer.headers["location"] == "/campaign"
    assert COOKIE not in answer.headers.get("set-cookie", "")
    described = reader.ask("GET", "/openapi.json", {})
    assert described.status_code in (200, 404) and "/campaign" not in described.text


def test_a_store_of_tables_in_parts_is_shown_compared_and_downloaded(
    build: Callable[..., PolicyTable], opened: Path, tmp_path: Path
) -> None:
    shutil.copytree(opened / "keys", tmp_path / "keys")
    store = Store(tmp_path / "store", Trusted.read(tmp_path / "keys" / "trusted"))
    for name, table in (("first", build()), ("second", without_offer(build(), 9))):
        store.publish(export_in_parts(table, tmp_path / name), ANA)
    settings = Settings(tmp_path / "state", store=tmp_path / "store", trusted=tmp_path / "keys" / "trusted", today=DAY)
    with visiting(settings) as one:
        one.log_in()
        for path in PAGES:
            assert one.get(path).status_code == 200, path
        assert "at the published budget alone" in one.get("/budget").text
        assert "9 of 300" in re.sub("<[^>]*>", "", one.get("/compare?before=1&after=2").text)
        assert one.get("/budget/5.csv").status_code == 409
        name = "policy_by_customer-00001.parquet"
        assert name in one.get("/files").text
        part = store.version(2).folder / name
        assert one.get(f"/files/{name}").content == part.read_bytes()
