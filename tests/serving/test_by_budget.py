"""The table at other budgets: whole for each, and never at odds with the table and the manifest."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from campaigns.errors import InputError
from serving.by_budget import BUDGET_KEYS, BY_BUDGET, PUBLISHED, STEPS, budget_rows, read_by_budget, read_step
from serving.publishing import publish


def test_each_step_is_one_row_group_and_is_read_alone(build, tmp_path, by_budget, catalog):
    table = build()
    publish(table, tmp_path / "policy")
    path = tmp_path / "policy" / BY_BUDGET
    assert pq.ParquetFile(path).num_row_groups == STEPS
    schema = pq.read_schema(path)
    assert [str(schema.field(name).type) for name in schema.names] == ["string", "int8", "string"]
    for step in (0, PUBLISHED, STEPS - 1):
        rows = read_step(path, step)
        assert rows["customer_id"].tolist() == table.customers["customer_id"].tolist()
        assert rows["offer"].tolist() == np.array(catalog.names)[by_budget[step]].tolist()
    assert read_step(path, PUBLISHED)["offer"].tolist() == table.customers["offer"].tolist()
    assert read_by_budget(path).equals(table.by_budget)


def test_customers_are_sorted_whatever_their_order_was(build, by_budget, catalog):
    table, order = build(), np.random.default_rng(2).permutation(300)
    ids = table.customers["customer_id"].iloc[order].reset_index(drop=True)
    assert budget_rows(catalog, ids, by_budget[:, order]).equals(table.by_budget)


@pytest.mark.parametrize("key", BUDGET_KEYS)
def test_a_budget_without_a_field_is_not_publishable(build, budgets, key):
    short = [{k: v for k, v in row.items() if k != key or i != 3} for i, row in enumerate(budgets)]
    with pytest.raises(InputError, match=rf"budgets\[3\].{key}' is missing; the table is not publishable"):
        build({"budgets": short})


def changed(budgets, step, **values):
    return {"budgets": [row | values if i == step else row for i, row in enumerate(budgets)]}


def test_figures_that_contradict_themselves_are_refused(build, budgets):
    upside_down = {"value": 0.1, "lo": 0.2, "hi": 0.3}
    for changes, message in (
        ({"budgets": budgets[:10]}, "'budgets' are not 11"),
        ({"budgets": [*budgets[:9], budgets[10], budgets[9]]}, r"budgets\[9\] is step 10; expected 9"),
        (changed(budgets, 4, published=True), r"budgets\[4\] is step 4; expected 4, 5 published"),
        (changed(budgets, 4, per_customer_week=0.9), "expected them to rise from 0"),
        (changed(budgets, 0, per_customer_week=0.001), "expected them to rise from 0"),
        (changed(budgets, 5, price=0.5), r"budgets\[5\] has price 0.5, 'budget' has 0.4"),
        (changed(budgets, 7, cost=upside_down), r"budgets\[7\].cost is .*; expected lo <= value <= hi"),
        (changed(budgets, 7, offers={"none": 300}), "step 7 gives .*; 'budgets' say {'none': 300}"),
    ):
        with pytest.raises(InputError, match=message):
            build(changes)


def test_rows_that_are_not_the_tables_are_refused(build):
    table = build()
    rows = table.by_budget
    swapped = rows.assign(customer_id=np.roll(rows["customer_id"], 1))
    other = rows.assign(offer=rows["offer"].where(rows["step"] != PUBLISHED, "none"))
    for wrong, message in (
        (rows.iloc[:-1], "3299 rows of customer_id, step, offer; expected"),
        (rows[["step", "customer_id", "offer"]], "expected customer_id, step, offer"),
        (swapped, "customers are not those of the table in the same order"),
        (rows.assign(step=np.int8(3)), "steps are not 0 to 10"),
        (rows.assign(offer="coupon_7"), "an offer is not in the catalog"),
        (other, "step 5 gives"),
    ):
        with pytest.raises(InputError, match=message):
            replace(table, by_budget=wrong)


def test_the_published_step_is_what_the_table_gives(build, budgets):
    table = build()
    rows, n = table.by_budget.copy(), len(table.customers)
    mine = rows.index[rows["step"] == PUBLISHED]
    rows.loc[mine, "offer"] = np.roll(rows.loc[mine, "offer"], 1)  # as many of each, to other customers
    assert (rows.loc[mine, "offer"].to_numpy() != table.customers["offer"].to_numpy()).any()
    assert len(mine) == n
    with pytest.raises(InputError, match="step 5 is not what the table gives"):
        replace(table, by_budget=rows)
