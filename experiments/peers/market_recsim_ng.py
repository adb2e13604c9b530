"""RecSim NG's ecosystem of viable providers: 50,000 users at a time, ten steps as one TensorFlow graph.

It runs under the Python of `.peers/recsim_ng`, takes its turns over standard input, and needs nothing of this project.
"""

import json
import sys
import time

import numpy as np
import tensorflow
from recsim_ng.applications.ecosystem_simulation import simulation_config
from recsim_ng.core import network
from recsim_ng.lib.tensorflow import runtime

USERS = 50_000
STEPS = 10
SECONDS = 1.5


def main() -> None:
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    means = np.random.default_rng(0).uniform(-1, 1, (10, 20)).astype(np.float32)
    variables = simulation_config.create_viable_provider_simulation_network(means, num_users=USERS)
    world = network.Network(variables=variables)

    @tensorflow.function
    def simulate():  # type: ignore[no-untyped-def]
        values = runtime.TFRuntime(network=world).execute(num_steps=STEPS)
        _, reward = network.find_unique_field(values, field_name="cumulative_reward")
        return tensorflow.reduce_mean(reward)

    simulate().numpy()  # traces the graph, which is not timed
    for _ in sys.stdin:
        steps, begin = 0, time.process_time()
        while (spent := time.process_time() - begin) < SECONDS:
            simulate().numpy()
            steps += USERS * STEPS
        print(json.dumps({"rate": steps / spent}), flush=True)


if __name__ == "__main__":
    main()
