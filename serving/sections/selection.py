"""The report's section on the choice of an agent: how sure it is, and what it costs if it was the wrong one."""

from collections.abc import Mapping
from typing import Any

from serving.charts import named
from serving.section import Note, Section, Table
from serving.words import decimal, percent, signed_money


def section(data: Mapping[str, Any], currency: str) -> Section:
    """Show the chance of each agent to be the best, and what the pick by validation brought."""
    rows = data["agents"]
    best = rows[0]
    first = data["picks"][0]
    lost = (
        "which is also the best there"
        if first["regret"] <= 0
        else f"{signed_money(-first['regret'], currency, 4)} per customer and week beside the best one there"
    )
    verdict = (
        f"{named(best['agent'])} is best on the held-out market with a chance of {_chance(best['chance_best'])}; "
        f"validation picked {named(data['picked'])}, {lost}."
    )
    return Section(
        "selection",
        "Was the right agent picked?",
        verdict,
        [_note(data), _agents(data, currency), *_more(data, currency)],
    )


def _note(data: Mapping[str, Any]) -> Note:
    return Note(
        "Customers, draws of the effects and seeds are drawn anew a thousand times, the same customers and draws for "
        "all agents. The chance to be the best is how often an agent then is; its expected loss is what is given up "
        f"in the mean if it is picked and another one is better. The worst {percent(data['tail'])} are the draws of "
        "the assumed effects under which an agent brings least: what one has to live with if offers do less than "
        "believed."
    )


def _agents(data: Mapping[str, Any], currency: str) -> Table:
    rows = [
        [
            named(row["agent"]),
            signed_money(row["uplift"], currency, 4),
            _chance(row["chance_best"]),
            decimal(row["expected_regret"], 4),
            f"{decimal(row['tail']['value'], 3)} ({decimal(row['tail']['lo'], 3)} to {decimal(row['tail']['hi'], 3)})",
        ]
        for row in data["agents"]
    ]
    return Table(
        f"Agents on the held-out market [{currency} per customer and week].",
        ["Agent", "Gain", "Chance to be best", "Expected loss if picked", "Gain in the worst draws (95 % interval)"],
        rows,
    )


def _more(data: Mapping[str, Any], currency: str) -> list[Note | Table]:
    rows = [
        [
            str(one["k"]),
            decimal(one["regret"], 4),
            decimal(one["best"], 4),
            decimal(one["worst"], 4),
            "–" if one["sharpe"] is None else decimal(one["sharpe"], 1),
        ]
        for one in data["picks"]
    ]
    place = "no offers at all" if data["in_place"] in (None, "no_offer") else "what the shop does now"
    blocks: list[Note | Table] = [
        Table(
            "If the k agents that validation ranks first were tried in the shop: how much less the best of them brings "
            f"than the best of all (regret), and how far it is above {place}, in spreads of the k (Sharpe ratio) "
            f"[{currency} per customer and week].",
            ["k", "Regret", "Best", "Worst", "Sharpe ratio"],
            rows,
        )
    ]
    claims = data["claims"]
    if claims is not None:
        said = ", ".join(map(named, claims["claimed"])) or "no agent"
        wrong, missed = ("none" if share is None else percent(share) for share in (claims["type_i"], claims["type_ii"]))
        blocks.append(
            Note(
                f"In the market that they learned in, {said} would have been said to beat "
                f"{named(claims['reference'])} (95 %). By the held-out market that is said of {wrong} of those that do "
                f"not (type I error) and not said of {missed} of those that do (type II error)."
            )
        )
    return blocks


def _chance(share: float) -> str:
    """Say a share of a thousand resamples, which prove nothing certain."""
    return "under 1 %" if share < 0.01 else "over 99 %" if share > 0.99 else percent(share)
