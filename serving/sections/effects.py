"""What offers do: what the history says, what stands against it, and what is believed after both."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from serving.figures import Chart
from serving.section import Heading, Note, Section, Table
from serving.sections.effect_charts import balance_chart, forest_chart, overlap_chart, qini_chart, shelf_chart
from serving.words import decimal, percent

NAMES: Final = {
    "visit_coupon": "visits, coupon",
    "visit_discount": "visits, discount",
    "visit_threshold": "visits, spend reward",
    "visit_gift": "visits, gift",
    "visit_flash_sale": "visits, flash sale",
    "spend_elasticity": "spend per share saved",
    "fatigue": "fatigue per contact",
    "reference_price": "reference price",
    "stockpiling": "forward buying",
}
METHODS: Final = {
    "naive": "plain difference",
    "within_household": "within household, less others",
    "difference_in_differences": "difference in differences",
    "doubly_robust": "doubly robust",
    "r_learner": "residual on residual",
    "placebo": "placebo, 6 weeks before",
}

LEANS: Final = {
    "promo_share": "share bought on promotion",
    "spend_per_active_week": "spend of a week with a visit",
    "visit_rate_13w": "visits per week",
}
Z95: Final = 1.96

MOST_NAMES: Final = 5
"""Unknown offers that are named; a log may hold hundreds."""


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show what was learned of offers on the training customers and weeks, and what is assumed."""
    beliefs = data["beliefs"]
    informed = [belief for belief in beliefs if belief["origin"] != "assumed"]
    names = ", ".join(_name(belief) for belief in informed)
    learned = (
        f"The history informs {len(informed)} of {len(beliefs)} effects of offers ({names}); the others are assumed."
        if informed
        else f"All {len(beliefs)} effects of offers are assumed: the history identifies none of them."
    )
    coupon = data["bundles"]["verdict"] if not data["offers"]["visit"] else data["offers"]["verdict"]
    blocks: list[Note | Heading | Table | Chart] = [_belief_table(beliefs), *_campaigns(data["bundles"], currency)]
    blocks += _unknown_offers(data["offers"])
    blocks += _offers(data["offers"], currency)
    blocks += _leans(data["priors"]["leans"])
    blocks += _shelf(data["shelf"])
    return Section("effects", "What offers do", f"{learned} {_sentence(coupon)}", blocks)


def held_out_section(data: Mapping[str, Any], currency: str) -> Section:
    """Show how a ranking by uplift and the market's model do on held-out customers and weeks, and the whole log."""
    blocks: list[Note | Heading | Table | Chart] = []
    rankings = {name: ranking for name, ranking in data["rankings"].items() if ranking}
    clear = [name for name, ranking in rankings.items() if ranking["qini"]["lo"] > 0]
    if rankings:
        blocks += [Heading("Who answers more"), qini_chart(rankings, currency), _ranking_table(rankings, currency)]
    else:
        blocks.append(Note("Who answers more: not estimable, too few held-out households could have gone either way."))
    blocks += [Heading("The market's model beside a planner's trees"), _model_table(data["models"], currency)]
    blocks += _whole_log(data["whole_log"], currency)
    verdict = (
        f"Ranking customers by uplift finds those who answer more than chance does ({', '.join(clear)})."
        if clear
        else "On held-out customers no ranking by uplift does surely better than chance: do not target by it."
    )
    return Section("uplift", "Who answers offers, on held-out customers", verdict, blocks)


def _belief_table(beliefs: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            _name(belief),
            _with_error(belief["prior"], belief["prior_error"]),
            "none" if belief["estimate"] is None else _with_error(belief["estimate"], belief["estimate_error"]),
            _with_error(belief["mean"], belief["error"]),
            belief["origin"],
            belief["verdict"],
        )
        for belief in beliefs
    ]
    return Table(
        "Effects of offers: mean ± standard deviation; visits in logits per log(1 + saving), spend in log per share "
        "saved, fatigue in log lift per contact, reference price in log per share saved, forward buying as a share",
        ("Effect", "Believed before", "Estimate", "Believed now", "From", "Verdict"),
        rows,
        ("From", "Verdict"),
    )


def _campaigns(audit: Mapping[str, Any], currency: str) -> list[Note | Heading | Table | Chart]:
    """Show the audit of the log's campaigns: estimates side by side, what should be zero, overlap, balance."""
    blocks: list[Note | Heading | Table | Chart] = [Heading("Coupon campaigns of the log")]
    if not audit["groups"]:
        return [*blocks, Note(_sentence(audit["verdict"]))]
    pooled = audit["groups"][0]
    blocks.append(
        Note(
            f"Compared are {pooled['targeted']:,} targeted household-campaigns with "
            f"{pooled['units'] - pooled['targeted']:,} untargeted ones at the start of the same {pooled['campaigns']} "
            "campaigns, by covariates of the weeks before. What is estimated is the effect of a whole campaign with "
            "all its coupons. The same estimator must give nothing in the 6 weeks before a campaign (placebo) and in "
            "departments without a coupon (negative control); that is tested by equivalence with a margin of 2 % of "
            "the usual level, so that noise does not pass for safety."
        )
    )
    if "estimates" in pooled:
        blocks += [forest_chart(pooled, currency), _test_table(pooled["tests"], currency)]
    if "overlap" in pooled:
        blocks.append(overlap_chart(pooled["overlap"]))
    if "balance" in pooled:
        blocks += [balance_chart(pooled["balance"]), Note(_sensitivity(pooled["sensitivity"]))]
    return [*blocks, _verdict_table(audit["groups"])]


def _verdict_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        (
            group["name"],
            f"{group['campaigns']:,}",
            f"{group['targeted']:,}",
            percent(group["overlap"]["kept_share"]) if "overlap" in group else "none",
            _sentence(group["verdict"]),
        )
        for group in groups
    ]
    return Table(
        "Verdicts by type of campaign",
        ("Campaigns", "Number", "Targeted households", "Could go either way", "Verdict"),
        rows,
        ("Verdict",),
    )


def _test_table(tests: Mapping[str, Mapping[str, Any]], currency: str) -> Table:
    units = {"placebo_spend": currency, "placebo_visits": "share of weeks", "negative_control": currency}
    rows = [
        (
            f"{name.replace('_', ' ')} [{units[name]}]",
            _interval(test),
            f"±{decimal(test['margin'], 3)}",
            f"{test['p']:.3f}",
            "passes" if test["passes"] else "fails",
        )
        for name, test in tests.items()
    ]
    return Table(
        "What should be zero: estimate with 95 % interval per week, and the test that it lies within the margin",
        ("Test", "Estimate", "Margin", "p", "Verdict"),
        rows,
        ("Verdict",),
    )


def _sensitivity(found: Mapping[str, Any]) -> str:
    words = [
        f"{name}: {percent(found[name]['to_zero'], 1)} of what is left of both targeting and outcome to bring the "
        f"estimate to zero, {percent(found[name]['to_insignificance'], 1)} to make it insignificant"
        for name in ("spend", "visits")
        if name in found
    ]
    text = f"How strong an unmeasured cause would have to be (robustness value): {'; '.join(words)}."
    mark = found.get("benchmark")
    if mark:
        share = percent(mark["share_of_targeting"], 1)
        text += f" The strongest covariate, {mark['covariate'].replace('_', ' ')}, explains {share} of targeting."
    return text


def _offers(offers: Mapping[str, Any], currency: str) -> list[Note | Heading | Table | Chart]:
    """Show the estimates of a log that names its offers."""
    if not offers["visit"]:
        return []
    rows = [
        (
            kind.replace("_", " "),
            f"{offers['rows'][kind]:,}",
            f"{decimal(offers['support'][kind][0], 2)} to {decimal(offers['support'][kind][1], 2)}",
            _interval(effect),
            _interval(offers["naive"][kind]),
        )
        for kind, effect in offers["visit"].items()
    ]
    caption = (
        f"Logged offers: logit of a visit per log(1 + saving in {currency}) with 95 % interval, by customer; the plain "
        "comparison beside it shows whom the shop chose, not what the offer did"
    )
    headings = ("Offer", "Customer-weeks", f"Saving [{currency}]", "Estimate", "Plain comparison")
    return [Heading("Offers that the log names"), Note(_sentence(offers["verdict"])), Table(caption, headings, rows)]


def _leans(leans: Mapping[str, Mapping[str, float]]) -> list[Note | Heading | Table | Chart]:
    """Say who answers more than the mean, or that all customers are held to answer alike."""
    if not leans:
        words = (
            "All customers are held to answer an offer alike: the history names no offers that would tell who does not."
        )
        return [Note(words)]
    rows = [
        (
            kind.replace("_", " "),
            LEANS[feature],
            _times(lean),
            "yes" if abs(lean["lean"]) > Z95 * lean["error"] else "no",
        )
        for name, lean in leans.items()
        for kind, _, feature in (name.partition("."),)
    ]
    caption = (
        "Who answers more: the visit effect on customers one standard deviation above the middle in a feature, as "
        "times the mean effect, with 95 % interval; drawn to 1 by the prior"
    )
    return [Table(caption, ("Offer", "Higher in", "Times the mean effect", "Surely other than 1"), rows)]


def _times(lean: Mapping[str, float]) -> str:
    low, high = (max(1.0 + lean["lean"] + side * Z95 * lean["error"], 0.0) for side in (-1.0, 1.0))
    return f"{decimal(max(1.0 + lean['lean'], 0.0), 2)} ({decimal(low, 2)} to {decimal(high, 2)})"


def _unknown_offers(offers: Mapping[str, Any]) -> list[Note]:
    """Say which offers of the log are none of the catalog's, since a misspelt name costs all that it could teach."""
    unknown = offers["unknown"]
    if not unknown:
        return []
    most = sorted(unknown, key=lambda name: (-unknown[name], name))[:MOST_NAMES]
    named = ", ".join(f"“{name}” ({unknown[name]:,} targetings)" for name in most)
    more = f" and {len(unknown) - len(most):,} more" if len(unknown) > len(most) else ""
    return [
        Note(
            f"The log names offers that the catalog does not have: {named}{more}. Nothing is learned of them. If they "
            f"are offers of the catalog under another name, write it as there: {', '.join(offers['catalog'])}."
        )
    ]


def _shelf(shelf: Mapping[str, Any]) -> list[Note | Heading | Table | Chart]:
    blocks: list[Note | Heading | Table | Chart] = [Heading("Shelf discounts, feature and display")]
    blocks.append(Note(_sentence(shelf["verdict"])))
    category, basket = shelf.get("category", {}), shelf.get("basket", {})
    if "bought" in category:
        blocks.append(shelf_chart(category))
    words = {"shown": "all usual products shown", "depth": "price cut of usual products by 100 %"}
    rows = [
        (f"{outcome.replace('_', ' ')}: {words[key]}", _interval(part[key]))
        for outcome, part in (("visits", basket.get("visits", {})), ("log_spend", basket.get("log_spend", {})))
        for key in words
        if key in part
    ]
    if rows:
        caption = (
            "Whole basket: change of the share of weeks with a visit, and of the log of spend at full prices given a "
            "visit, with 95 % intervals by household"
        )
        blocks.append(Table(caption, ("What moves", "Estimate"), rows))
    return blocks


def _ranking_table(rankings: Mapping[str, Mapping[str, Any]], currency: str) -> Table:
    rows = [(name, _interval(r["qini"]), _interval(r["auuc"]), f"{r['customers']:,}") for name, r in rankings.items()]
    caption = f"Ranking by uplift: areas [{currency} per household and week] with 95 % intervals, resampled by customer"
    return Table(caption, ("Model", "Qini (above chance)", "AUUC", "Customers"), rows)


def _model_table(models: Sequence[Mapping[str, Any]], currency: str) -> Table:
    rows = [
        (
            model["model"],
            f"{model['log_loss']:.4f}",
            "none" if model["auc"] is None else f"{model['auc']:.4f}",
            "none" if model["spend_error"] is None else decimal(model["spend_error"], 2),
            decimal(model["week_error"], 2),
        )
        for model in models
    ]
    caption = f"Held-out customers and weeks: visits, and mean absolute error of spend [{currency} per week]"
    headings = ("Model", "Log-loss", "AUC", "Error, weeks with a visit", "Error, all weeks")
    return Table(caption, headings, rows)


def _whole_log(audit: Mapping[str, Any], currency: str) -> list[Note | Heading | Table | Chart]:
    """Show estimates side by side over the whole log, for the reader alone."""
    groups = [group for group in audit["groups"] if "estimates" in group]
    if not groups:
        return []
    rows = [
        (words, *(_interval(group["estimates"][method]["spend"], 1) for group in groups))
        for method, words in METHODS.items()
    ]
    visits = [
        (words, *(_interval(group["estimates"][method]["visits"]) for group in groups))
        for method, words in METHODS.items()
    ]
    headings = ("Method", *(group["name"] for group in groups))
    return [
        Heading("All customers and weeks of the log"),
        Note("Shown to compare methods; nothing is learned from it. " + _sentence(audit["verdict"])),
        Table(f"Campaign effect on spend [{currency} per week], 95 % intervals", headings, rows),
        Table("Campaign effect on the share of weeks with a visit, 95 % intervals", headings, visits),
    ]


def _name(belief: Mapping[str, Any]) -> str:
    name = str(belief["name"])
    return NAMES.get(name, name)


def _with_error(value: float, error: float) -> str:
    return f"{decimal(value, 2)} ± {decimal(error, 2)}"


def _interval(effect: Mapping[str, Any], digits: int = 3) -> str:
    return f"{decimal(effect['value'], digits)} ({decimal(effect['lo'], digits)} to {decimal(effect['hi'], digits)})"


def _sentence(verdict: str) -> str:
    return f"{verdict[:1].upper()}{verdict[1:]}."
