"""The recommender on disk: tensors and plain settings, nothing that can run."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from campaigns.errors import InputError
from history.artifacts import read_json, read_tensors, write_json, write_tensors
from simulators.recommender.assortment import Assortment
from simulators.recommender.factors import FactorConfig, Factors
from simulators.recommender.models import Recommender
from simulators.recommender.network import layers_of, named_layers
from simulators.recommender.rhythm import Rhythm
from simulators.recommender.towers import Towers

_ASSORTMENT: Final = ("rows", "code", "position", "vectors", "held_out")


def write_products(folder: Path, recommender: Recommender) -> None:
    """Write products.safetensors and products.json into `folder`."""
    towers, rhythm = recommender.towers, recommender.rhythm
    tensors = {f"assortment.{name}": torch.from_numpy(getattr(recommender.assortment, name)) for name in _ASSORTMENT}
    tensors |= {"factors": torch.from_numpy(recommender.factors.products)}
    tensors |= {"towers.mean": towers.mean, "towers.scale": towers.scale, "towers.weight": towers.weight}
    tensors |= named_layers("customer", towers.customer) | named_layers("product", towers.product)
    tensors |= {"rhythm.mean": rhythm.mean, "rhythm.scale": rhythm.scale}
    for number, layers in enumerate(rhythm.members):
        tensors |= named_layers(f"rhythm{number}", layers)
    write_tensors(folder / "products.safetensors", tensors)
    settings = {
        "factors": asdict(recommender.factors.config),
        "discovery": recommender.discovery,
        "slope": recommender.slope,
        "intercept": recommender.intercept,
        "members": len(rhythm.members),
    }
    write_json(folder / "products.json", settings)


def read_products(folder: Path) -> Recommender | None:
    """Read back what `write_products` wrote; None where the history had no product to recommend.

    Raises:
        InputError: The two files do not belong together.
    """
    if not (folder / "products.json").is_file():
        return None
    settings, tensors = read_json(folder / "products.json"), read_tensors(folder / "products.safetensors")
    try:
        return _restore(settings, tensors)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / 'products.json'}: does not fit products.safetensors ({error}); run fit again"
        ) from None


def _restore(settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Recommender:
    columns: dict[str, Any] = {name: np.asarray(tensors[f"assortment.{name}"].numpy()) for name in _ASSORTMENT}
    members = tuple(layers_of(f"rhythm{number}", tensors) for number in range(settings["members"]))
    return Recommender(
        assortment=Assortment(**columns),
        factors=Factors(tensors["factors"].numpy(), FactorConfig(**settings["factors"])),
        towers=Towers(
            tensors["towers.mean"],
            tensors["towers.scale"],
            layers_of("customer", tensors),
            layers_of("product", tensors),
            tensors["towers.weight"],
        ),
        rhythm=Rhythm(tensors["rhythm.mean"], tensors["rhythm.scale"], members),
        discovery=settings["discovery"],
        slope=settings["slope"],
        intercept=settings["intercept"],
    )
