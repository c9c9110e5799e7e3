"""A real Prometheus on loopback, scraping a real exporter; both end with the block.

Nobody waits for time to pass: an exporter notes each scrape, and when the second one after some
instant begins, the first has been stored.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

TOOLS = Path(__file__).parents[2] / ".tools" / "usr" / "bin" / "prometheus"
PATIENCE = 60  # seconds for whatever a busy machine takes
CONFIG = """
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: chains
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


def binary():
    """Where Prometheus is; a run of CI must have it, any other may do without."""
    found = str(TOOLS) if TOOLS.exists() else shutil.which("prometheus")
    if found is None:
        words = "there is no prometheus here; `make tools` gets one on Debian and its kin"
        if os.environ.get("CI"):
            pytest.fail(f"{words}, and a CI run must have it")
        pytest.skip(words)
    return found


class Scrapes:
    """A collector without metrics that notes when it is asked for some."""

    def __init__(self):
        self.begun = 0
        self.news = threading.Condition()

    def describe(self):
        """No metric."""
        return ()

    def collect(self):
        """No metric, but news."""
        with self.news:
            self.begun += 1
            self.news.notify_all()
        return ()

    def wait(self):
        """Until a scrape that began after this has ended."""
        with self.news:
            enough = self.begun + 2
            assert self.news.wait_for(lambda: self.begun >= enough, PATIENCE), "no scrape came"


class Server:
    """A Prometheus that runs."""

    def __init__(self, address, scrapes):
        self.address = address
        self.scrapes = scrapes

    def scraped(self):
        """Until all that the exporter tells by now is stored; on a busy machine a scrape fails."""
        self.scrapes.wait()
        while set(self.query("up").values()) != {1.0}:
            self.scrapes.wait()

    def ask(self, path, **parameters):
        """The data of an answer of its HTTP API."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        assert "warnings" not in told
        return told["data"]

    def query(self, expression):
        """What an expression comes to now: values by labels, the target's own left out."""
        return {
            frozenset(
                (k, v) for k, v in each["metric"].items() if k not in ("instance", "job")
            ): float(each["value"][1])
            for each in self.ask("query", query=expression)["result"]
        }


@contextmanager
def scraping(folder, *collectors):
    """A Prometheus that scrapes an exporter of these collectors; it is killed at the end."""
    program = binary()
    scrapes = Scrapes()
    registry = CollectorRegistry()
    for each in (*collectors, scrapes):
        registry.register(each)
    exporter, serving = start_http_server(0, "127.0.0.1", registry)
    config = folder / "prometheus.yml"
    config.write_text(CONFIG % exporter.server_port)
    flags = {
        "config.file": config,
        "storage.tsdb.path": folder / "data",
        "web.listen-address": "127.0.0.1:0",
        "log.format": "json",
    }
    running = subprocess.Popen(  # noqa: S603  # the program found above
        [program, *(f"--{flag}={value}" for flag, value in flags.items())],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = _address(running.stderr)
        draining = threading.Thread(target=running.stderr.read)  # or the pipe would fill
        draining.start()
        yield Server(address, scrapes)
    finally:
        running.kill()
        running.wait(PATIENCE)
        draining.join(PATIENCE)
        running.stderr.close()
        exporter.shutdown()
        exporter.server_close()
        serving.join(PATIENCE)


def _address(log):
    for line in log:
        told = json.loads(line)
        if told.get("msg") == "Listening on":
            return told["address"]
    return pytest.fail("prometheus ended before it listened")
