"""What a program says of itself to monitors; how to ask is of the hub's workers, an agent's API is asked as ever."""

import json

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.exchange import Exchange
from tests.system.play import process


def look(exchange: Exchange, path: str, worker: str = "hub") -> httpx2.Response:
    """What a worker's monitor answers."""
    pid = process(exchange.folder, worker).pid
    url = json.loads((exchange.hub_home / f"monitor.{pid}.json").read_text())["url"]
    return httpx2.get(f"{url}{path}", timeout=30)


def is_ready(exchange: Exchange, worker: str = "hub") -> bool:
    """Whether a worker is at work, by its own word."""
    try:
        return look(exchange, "/readyz", worker).status_code == 200
    except (OSError, httpx2.HTTPError):
        return False


def sample(exchange: Exchange, name: str, worker: str = "hub", **labels: str) -> float:
    """One of a worker's samples; 0 if there is none (yet)."""
    return sample_in(look(exchange, "/metrics", worker).text, name, **labels)


def sample_in(metrics: str, name: str, **labels: str) -> float:
    """One of the samples of what a program answered; 0 if there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)
