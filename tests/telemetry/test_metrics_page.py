"""`docs/metrics.md` says what is so."""

import re
from pathlib import Path

from fsm_fallback.telemetry.prometheus import PrometheusCollector

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")


def test_the_page_lists_every_metric_with_its_labels():
    """By the name that Prometheus has; and no other."""
    rows = re.findall(r"^\| `(fsm_fallback_\w+)` \| (\w+) \| ([^|]*) \|", PAGE, re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    declared = {}
    for family in PrometheusCollector().describe():
        name = family.name + ("_total" if family.type == "counter" else "")
        declared[name] = family.type, family._labelnames

    assert listed == declared
