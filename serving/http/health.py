"""Whether it lives, whether it is ready, and what it counts."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from serving.http.answers import answer
from serving.http.guard import guarded, opens
from serving.http.meter import Meter
from serving.http.models import Health
from serving.online.api_keys import Scope
from serving.online.service import Service

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


async def read_health() -> Response:
    """Return that the process answers."""
    return answer({"status": "ok"})


async def read_ready(request: Request) -> Response:
    """Return 200 once a table answers, or the kill switch does; 503 while there is only the safe default."""
    state = request.app.state.service.state
    return answer({"status": state}, 200 if state in ("ready", "killed") else 503)


async def read_metrics(request: Request) -> Response:
    """Return counts in Prometheus' text format."""
    return Response(request.app.state.metrics(), media_type=_TEXT)


def health_routes() -> APIRouter:
    """Return the routes; the first two need no key."""
    router = guarded("health")
    waiting: dict[int | str, dict[str, Any]] = {
        503: {"model": Health, "description": "Answers with the safe default alone."}
    }
    router.add_api_route("/healthz", read_health, response_model=Health)
    router.add_api_route("/readyz", read_ready, response_model=Health, responses=waiting)
    metrics = opens(Scope.DECIDE)
    metrics["responses"] = {**metrics["responses"], 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    router.add_api_route("/metrics", read_metrics, response_class=Response, **metrics)
    return router


class Metrics(Collector):
    """Reads what the service counts when it is asked, so that a request pays for two additions alone."""

    def __init__(self, service: Service, meter: Meter) -> None:
        self._service = service
        self._meter = meter
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def __call__(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        service, meter = self._service, self._meter
        answers = CounterMetricFamily("offersmith_requests", "Requests answered", labels=["route", "status"])
        for (route, status), count in sorted(meter.answers.items()):
            answers.add_metric([route, str(status)], count)
        yield answers
        seconds = HistogramMetricFamily("offersmith_request_seconds", "Time to answer", labels=["route"])
        for route, timing in sorted(meter.timings.items()):
            seconds.add_metric([route], timing.buckets(), timing.total)
        yield seconds
        reasons = CounterMetricFamily("offersmith_decisions", "Decisions made", labels=["reason"])
        for reason, count in sorted(service.decider.counts.items()):
            reasons.add_metric([reason], count)
        yield reasons
        yield from self._gauges()
        left = GaugeMetricFamily("offersmith_left", "Neither held nor spent", labels=["period", "arm", "of"])
        for one in service.ledger.left:
            left.add_metric([one.period, one.arm, one.offer or "cents"], one.most - one.held - one.spent)
        yield left

    def _gauges(self) -> Iterator[Metric]:
        service = self._service
        loaded = service.decider.loaded
        version = 0 if loaded is None else loaded.table.version
        yield GaugeMetricFamily("offersmith_table_version", "Version of the table", value=version)
        yield GaugeMetricFamily("offersmith_ready", "A table answers", value=service.state == "ready")
        yield GaugeMetricFamily("offersmith_killed", "The kill switch is pulled", value=service.switch.killed)
        yield GaugeMetricFamily("offersmith_log_failing", "Decisions cannot be written", value=service.log.failing)
        yield CounterMetricFamily("offersmith_table_swaps", "Tables loaded", value=service.swaps)
        yield CounterMetricFamily("offersmith_decisions_written", "Decisions on the disk", value=service.log.written)
