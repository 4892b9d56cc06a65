"""The dashboard and the alert rules read metrics that exist, and the docs name each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from prometheus_client.registry import Collector

from moderation.messages import ModelStamp
from moderation.policy import load_policy
from moderation.queue.depth import BrokerState, QueueState
from moderation.worker.log_lines import EXTRA
from moderation.worker.metrics import Metrics
from moderation.worker.metrics_server import OPEN, LogCollector, QueueCollector
from moderation.worker.processes.figures import ProcessFigures
from tests.conftest import POLICIES, ROOT

FOLDER = ROOT / "examples" / "grafana"
DOCS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
STAMP = ModelStamp(
    id="m", revision="1", fingerprint="f", preprocessing="p", dtype="float32", device="cpu"
)
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
#: What a histogram is read by, and metrics of the process, which Prometheus's library makes.
PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def _samples() -> Iterator[tuple[str, str, set[str]]]:
    """Yields name, type and labels of every sample that a worker exposes."""
    metrics = Metrics()
    policy = load_policy(POLICIES / "weapons.yaml")
    metrics.serves({policy.id: policy}, [STAMP], ["hooks.example.com"])
    state = BrokerState((QueueState("bulk", 1, 2.0),), 3)
    collectors: list[Collector] = [
        metrics.registry,
        QueueCollector(lambda: state),
        LogCollector(lambda: dict.fromkeys(OPEN, 1)),
    ]
    with TemporaryDirectory() as folder:
        collectors.append(ProcessFigures(Path(folder)).registry)
        for collector in collectors:
            for family in collector.collect():
                for sample in family.samples:
                    if not sample.name.endswith("_created"):
                        yield sample.name, family.type, set(sample.labels)


@cache
def _labels() -> dict[str, set[str]]:
    """Returns the labels of each metric by its name, as PromQL reads it."""
    return {name: labels for name, _, labels in _samples()}


@cache
def _types() -> dict[str, str]:
    """Returns the type of each metric of ours by its documented name."""
    pattern = re.compile(r"_(bucket|sum|count)$")
    return {
        pattern.sub("", name) if kind == "histogram" else name: kind
        for name, kind, _ in _samples()
        if name.startswith("evenhand_")
    }


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _queries() -> dict[str, str]:
    """Returns every PromQL expression by where it stands."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in _rules()}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found[f"${variable['name']}"] = variable["query"]["query"]
    return found


QUERIES = _queries()
_NAME = re.compile(r"\b(?:evenhand|process)[\w:]*")
_SELECTOR = re.compile(r"\b((?:evenhand|process)[\w:]*)\{([^}]*)\}")
_STRING = re.compile(r'"[^"]*"')


@pytest.mark.parametrize("where", QUERIES)
def test_a_query_reads_metrics_that_exist(where: str) -> None:
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    names = set(_NAME.findall(_STRING.sub('""', QUERIES[where])))
    assert names
    assert names <= set(_labels()) | recorded | PROCESS


@pytest.mark.parametrize("where", QUERIES)
def test_a_query_selects_and_groups_by_labels_that_exist(where: str) -> None:
    query = QUERIES[where]
    known: set[str] = {"instance", "job"}
    for name in _NAME.findall(query):
        known |= _labels().get(name, set()) | ({"policy"} if ":" in name else set())
    for name, selectors in _SELECTOR.findall(query):
        chosen = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", _STRING.sub("", selectors)))
        assert chosen <= _labels().get(name, set()) | {"instance", "job"}
    for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query):
        assert {word.strip() for word in group.split(",")} <= known
    assert query.count("(") == query.count(")")
    assert query.count("{") == query.count("}")


@pytest.mark.parametrize("where", QUERIES)
def test_counters_are_read_as_rates_and_what_all_workers_expose_is_not_added_up(where: str) -> None:
    query = QUERIES[where]
    for name in set(_NAME.findall(query)) & set(_labels()):
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert len(re.findall(rf"\b(?:rate|increase)\({name}\b", query)) == query.count(name)
        if name.startswith(("evenhand_queue_", "evenhand_quarantine_", "evenhand_outbox_")):
            assert re.search(rf"\bmax(?: by \(\w+\))? ?\({name}\b", query)


def test_the_names_are_found_in_a_query() -> None:
    query = 'sum(rate(evenhand_a_total{b="evenhand_c"}[5m])) / evenhand:d:ratio'
    assert _NAME.findall(_STRING.sub('""', query)) == ["evenhand_a_total", "evenhand:d:ratio"]


def test_the_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at: Mapping[str, int] = panel["gridPos"]
        columns, rows = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        own = {(x, y) for x in columns for y in rows}
        assert at["x"] + at["w"] <= 24
        assert not own & cells
        cells |= own


def test_every_panel_says_what_it_shows_and_takes_the_chosen_data_source() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    for panel in panels:
        assert panel["description"]
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert DASHBOARD["schemaVersion"] >= 39
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval", "__all"} == variables


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set(_NAME.findall(json.dumps(DASHBOARD["panels"])))
    assert {name for name in _types() if not any(one.startswith(name) for one in shown)} == set()


def test_every_alert_says_what_it_means_and_how_bad_it_is() -> None:
    alerts = [rule for rule in _rules() if "alert" in rule]
    names = [rule["alert"] for rule in alerts]
    assert len(set(names)) == len(names)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_the_scrape_configuration_loads_the_rules() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    assert all((FOLDER / name).is_file() for name in config["rule_files"])
    targets = [
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert len(set(targets)) == len(targets)


def test_the_readme_names_every_file_and_alerts_that_exist() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert files <= set(re.findall(r"`([^`]+)`", readme))
    named = set(re.findall(r"`(Evenhand\w+)`", readme))
    assert named
    assert named <= {rule.get("alert") for rule in _rules()}


def _documented() -> dict[str, tuple[str, set[str]]]:
    """Returns type and labels of each metric as the page has them."""
    rows = re.findall(r"^\| `(evenhand_\w+)` \| (\w+) \|([^|]*)\|", DOCS, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_page_has_every_metric_with_its_type_and_labels_and_no_other() -> None:
    exposed = {
        name: (kind, (_labels().get(name) or _labels().get(f"{name}_count")) or set())
        for name, kind in _types().items()
    }
    assert _documented() == exposed


def test_the_page_has_every_field_of_a_log_line() -> None:
    fields = re.findall(r"^\| `(\w+)` \| (?:always|where|with|of)", DOCS, re.MULTILINE)
    always = ["time", "level", "logger", "message", "process", "request_id", "exception"]
    assert fields == [*always, *EXTRA]
