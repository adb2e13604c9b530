"""A week of our market written for JAX: the same arithmetic on the same tensors, whole batches, `jit` and `lax.scan`.

It runs under the Python of `.peers/jax`, needs of this project the two modules beside it, and takes its turns over
standard input. It reads what `market_export.py` wrote, first lives through the exported weeks under the exported
luck, and refuses to be timed where the sums of any outcome differ from ours by more than rounding explains.

<python> experiments/peers/market_jax.py <folder of weeks.safetensors and weeks.json>
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from safetensors.numpy import load_file

TOLERANCE = 1e-5
"""Relative difference of a week's sums by float32 rounding."""
FEW = 10.0
"""Means of a sum by which it may differ beside that: rounding may move a draw, and a week's basket, over its edge."""
COUNT = {"spend": "visited", "visited": "visited", "redeemed": "redeemed", "realised_cost": "redeemed"}
"""Whose number a sum is the mean times; all customers where none is named."""
SECONDS = 1.5
State = dict[str, Any]


def compare(sums: State, ours: State, n: int) -> float:
    """Return by how much the first week's margin without offers, which hangs on no draw, differs, relatively.

    The process ends where that is more than rounding, or another sum differs by more than a few draws can make it.

    Args:
        sums, ours: Of n customers in each week, by name.
        n: Customers.
    """
    for name, known in ours.items():
        of = ours[COUNT[name]] if name in COUNT else n
        off = jnp.max(jnp.abs(sums[name] / known - 1.0) - TOLERANCE - FEW / of)
        if not off <= 0:
            sys.exit(f"the port does other work: {name} differs by {float(off):.2g} of its sum beyond what draws do")
    first = float(abs(sums["shadow_net"][0] / ours["shadow_net"][0] - 1.0))
    if not first <= TOLERANCE:
        sys.exit(f"the port does other work: the first week's margin differs by {first:.2g} of its sum")
    return first


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from experiments.peers.market_jax_sight import nested
    from experiments.peers.market_jax_week import World, draw_noise

    folder = Path(sys.argv[1])
    tensors = load_file(folder / "weeks.safetensors")
    world = World(tensors, json.loads((folder / "weeks.json").read_text("utf-8")))
    start, actions = nested(tensors, "state."), jnp.asarray(tensors["action"])
    weeks, n = actions.shape
    k = tensors["noise.categories"].shape[2]
    start.pop("week")

    def repeat(start: State, noise: State) -> Any:
        def turn(state: State, given: Any) -> tuple[State, State]:
            return world.week(state, *given)

        return jax.lax.scan(turn, start, (jnp.arange(weeks), actions, noise))[1]

    def live_through(start: State, key: Any) -> Any:
        def turn(state: State, given: Any) -> tuple[State, State]:
            week, action, key = given
            return world.week(state, week, action, draw_noise(key, n, k))

        return jax.lax.scan(turn, start, (jnp.arange(weeks), actions, jax.random.split(key, weeks)))

    difference = compare(jax.jit(repeat)(start, nested(tensors, "noise.")), nested(tensors, "sums."), n)
    compiled = jax.jit(live_through)
    jax.block_until_ready(compiled(start, jax.random.key(0)))  # compiles, which is not timed
    for line in sys.stdin:
        key, done, begin = jax.random.key(int(line)), 0, time.process_time()
        while (spent := time.process_time() - begin) < SECONDS:
            key, luck = jax.random.split(key)
            jax.block_until_ready(compiled(start, luck))
            done += weeks * n
        print(json.dumps({"rate": done / spent, "difference": difference, "jax": jax.__version__}), flush=True)


if __name__ == "__main__":
    main()
