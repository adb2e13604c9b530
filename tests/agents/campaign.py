"""The reference campaign as a world to learn in."""

from functools import cache

from agents.agent import LearningWorld
from envs.campaign import CampaignVectorEnv
from envs.sb3 import Sb3VecEnv
from envs.world import PriceRange, World
from simulators.reference import reference_market, reference_pool, reference_world


@cache
def campaign_world() -> World:
    return World(reference_market(), reference_world().observer, reference_pool(256, seed=1), PriceRange())


def learning_world(n: int) -> LearningWorld:
    vector = CampaignVectorEnv(n, campaign_world(), seed=0)
    return LearningWorld(vector, Sb3VecEnv(vector), vector.layout, vector.horizon, tensor=vector.core)
