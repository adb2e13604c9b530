"""Business as usual: imitates whom the shop's own coupon campaigns reached, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from agents.agent import LearningWorld, LoggedTargeting, Monitor, TrainedPolicy
from agents.decide import Placed
from agents.fixed import NoOfferPolicy
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError
from campaigns.offers import Catalog, OfferKind


@dataclass
class BusinessAsUsualConfig:
    """Logistic regression of the logged targeting."""

    kind: ClassVar[str] = "business_as_usual"

    inverse_penalty: float = 1.0
    """Inverse strength of the ridge penalty on standardised features (scikit-learn's C)."""

    def __post_init__(self) -> None:
        if self.inverse_penalty <= 0:
            raise InputError(
                f"agent business_as_usual: inverse_penalty is {self.inverse_penalty}; it must be above 0; 1 is usual"
            )

    def build(self) -> "BusinessAsUsualAgent":
        return BusinessAsUsualAgent(self)


class BusinessAsUsualPolicy:
    """Gives the mapped coupon with the probability that a campaign would have started; λ does not change it."""

    kind: ClassVar[str] = BusinessAsUsualConfig.kind

    def __init__(self, offer: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Keep `weight`, shape (n_features,), and `bias`, shape (), of the log-odds of the coupon `offer`."""
        self._offer = offer
        self._placed = Placed(tensors)
        self._meta = dict(meta)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        line = self._placed.on(context.features.device)
        log_odds = (context.features * line["weight"]).sum(dim=1) + line["bias"]
        given = torch.where(context.mask[:, self._offer], torch.sigmoid(log_odds).nan_to_num(nan=0.0), 0.0)
        dist = torch.zeros(context.mask.shape, device=given.device)
        dist[:, self._offer] = given
        dist[:, 0] = 1.0 - given
        return dist

    def tensors(self) -> dict[str, Tensor]:
        return self._placed.data()

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        needed = {name: tensors[name] for name in ("weight", "bias")}
        offers = {name: index for index, name in enumerate(layout.action_names)}
        return cls(offers[meta["mapping"]["offer"]], needed, meta)


class BusinessAsUsualAgent:
    """Fits the logged targeting; without a logged campaign it leaves "no offer" behind and says so."""

    def __init__(self, config: BusinessAsUsualConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> TrainedPolicy:
        policy = self._fit(world.layout, world.logged)
        monitor.validate(policy, 0)
        return policy

    def _fit(self, layout: ObservationLayout, logged: LoggedTargeting | None) -> TrainedPolicy:
        if logged is None or not (logged.feedback.action > 0).any():
            return NoOfferPolicy("business as usual: the history has no coupon campaign, so it is no offer")
        if (logged.feedback.action > 0).all():
            raise InputError("logged targeting: every row has a coupon; rows without one are needed beside them")
        offer = nearest_coupon(logged.catalog, logged.coupon_value_cents)
        if offer is None:
            return NoOfferPolicy("business as usual: the catalog has no coupon to map campaigns to, so it is no offer")
        mapping = {
            "from": "a coupon campaign starts",
            "median_value_cents": logged.coupon_value_cents,
            "offer": layout.action_names[offer],
            "offer_value_cents": logged.catalog.offers[offer].value_cents,
        }
        share = float((logged.feedback.action > 0).mean())
        tensors = self._regress(layout, logged)
        return BusinessAsUsualPolicy(offer, tensors, {"mapping": mapping, "logged_share": share})

    def _regress(self, layout: ObservationLayout, logged: LoggedTargeting) -> dict[str, Tensor]:
        from sklearn.linear_model import LogisticRegression  # a second that a policy which is only read need not wait
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(C=self._config.inverse_penalty, max_iter=1000))
        model.fit(logged.feedback.features.astype("float64"), logged.feedback.action > 0)
        scaler, regression = model[0], model[1]
        slope = regression.coef_[0] / scaler.scale_
        weight = torch.zeros(layout.n_features)
        weight[[layout.feature_names.index(name) for name in logged.feedback.feature_names]] = torch.tensor(
            slope, dtype=torch.float32
        )
        bias = float(regression.intercept_[0] - slope @ scaler.mean_)
        return {"weight": weight, "bias": torch.tensor(bias)}


def nearest_coupon(catalog: Catalog, value_cents: float) -> int | None:
    """Return the index of the coupon whose value is nearest, the first one of equals; None without a coupon."""
    coupons = [i for i, offer in enumerate(catalog.offers) if offer.kind is OfferKind.COUPON]
    return min(coupons, key=lambda i: abs(catalog.offers[i].value_cents - value_cents), default=None)
