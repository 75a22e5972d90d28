"""
A real Prometheus, Alertmanager and receiver of alerts, with the files of `deploy/`.

    with Monitoring(folder, scraped=f"127.0.0.1:{rig.port}") as monitoring:
        monitoring.query("up")

The files are taken as they are shipped, with the addresses of this machine put into
`targets/`, and with the times shortened by `hurried` and `prompt`, so that a test need
not wait for a quarter of an hour.
"""

import contextlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import yaml
from typing_extensions import override

from tests.support.deployed import ALERTMANAGER, PROMETHEUS
from tests.support.promtool import find_tool
from tests.support.rig import free_port
from tests.support.wait import patience, wait_until

INTERVAL = "500ms"  # between two scrapes, and two evaluations of the rules
START_LIMIT = 30.0  # seconds
DRIFT_LIMIT = 2  # seconds after which a hurried ReconcilerHostDrift fires

Json = Any  # what json.loads returns


class Monitoring:
    """Prometheus, Alertmanager and a receiver; a context manager that ends them."""

    def __init__(self, folder: Path, *, scraped: str) -> None:
        self.folder = folder
        self.received: list[Json] = []
        self._scraped = scraped
        self._prometheus, self._alertmanager = free_port(), free_port()
        self._receiver = _Receiver(self.received)
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            ends.callback(self._receiver.close)
            self._write()
            ends.enter_context(running(self.folder, self._of_alertmanager()))
            ends.enter_context(running(self.folder, self._of_prometheus()))
            try:
                self._wait_ready()
            except AssertionError:
                self._tell_logs()
                raise
            self._ends = ends.pop_all()
        return self

    def _tell_logs(self) -> None:
        for log in sorted(self.folder.glob("*.log")):
            sys.stderr.write(f"--- {log}\n{log.read_text()[-4000:]}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()
        if error is not None:
            self._tell_logs()

    # --- what Prometheus knows ---------------------------------------------------

    def query(self, expr: str) -> list[Json]:
        """Return the series that *expr* has now. Fails where it cannot be parsed."""
        return self._ask("query", query=expr)["result"]  # type: ignore[no-any-return]

    def series(self, expr: str, *, seconds: float, step: float = 1.0) -> list[Json]:
        """Return the series that *expr* had in the last *seconds*."""
        now = float(self.query("vector(time())")[0]["value"][1])
        found = self._ask(
            "query_range", query=expr, start=now - seconds, end=now, step=step
        )
        return found["result"]  # type: ignore[no-any-return]

    def value(self, expr: str) -> float | None:
        """Return the value of the one series of *expr*, or None."""
        found = self.query(expr)
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[Json]:
        """Return every rule, once each has been evaluated."""

        def evaluated() -> list[Json]:
            groups = self._ask("rules")["groups"]
            found = [rule for group in groups for rule in group["rules"]]
            return found if all(r["health"] != "unknown" for r in found) else []

        return wait_until(evaluated, START_LIMIT, "the rules to be evaluated")

    def told(self, alert: str, status: str, **labels: str) -> list[Json]:
        """Return what the receiver was told of an alert with these labels."""
        wanted = {"alertname": alert, **labels}
        return [
            one
            for one in list(self.received)
            if one["status"] == status and wanted.items() <= one["labels"].items()
        ]

    def _ask(self, what: str, **asked: object) -> Json:
        where = f"127.0.0.1:{self._prometheus}/api/v1/{what}"
        words = urllib.parse.urlencode(asked)
        with urlopen(f"http://{where}?{words}", timeout=patience(60)) as answer:
            return json.load(answer)["data"]

    # --- running them ------------------------------------------------------------

    def _write(self) -> None:
        target = self.folder / "prometheus"
        shutil.copytree(PROMETHEUS, target)
        _edit(target / "prometheus.yml", prompt)
        _edit(target / "rules/alerts.yml", hurried)
        _edit(target / "rules/recording.yml", prompt_rules)
        alertmanager = f"127.0.0.1:{self._alertmanager}"
        for name, address in (
            ("reconciler", self._scraped),
            ("alertmanager", alertmanager),
        ):
            file = target / "targets" / f"{name}.yml"
            assert yaml.safe_load(file.read_text())
            file.write_text(yaml.safe_dump([{"targets": [address]}]))
        settings = yaml.safe_load(ALERTMANAGER.read_text())
        hook = {"url": self._receiver.url, "send_resolved": True}
        told = {**prompt_routes(settings), "receivers": [_operator(settings, hook)]}
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(told))

    def _of_prometheus(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.folder / 'prometheus/prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self._prometheus}",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
        ]

    def _of_alertmanager(self) -> list[str]:
        return [
            "alertmanager",
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'alerts'}",
            f"--web.listen-address=127.0.0.1:{self._alertmanager}",
            "--cluster.listen-address=",  # it is alone
            "--log.level=warn",
        ]

    def _wait_ready(self) -> None:
        wait_until(
            lambda: _is_ready(self._alertmanager), START_LIMIT, "Alertmanager to start"
        )
        wait_until(
            lambda: (
                _is_ready(self._prometheus) and self.value('up{job="reconciler"}') == 1
            ),
            START_LIMIT,
            "Prometheus to scrape the daemon",
        )


@contextlib.contextmanager
def running(folder: Path, argv: Sequence[str]) -> Iterator[None]:
    """Run a program of Prometheus for the length of the body; it logs to *folder*."""
    name, *arguments = argv
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            # It must not outlive a test run that is killed.
            ["setpriv", "--pdeathsig", "KILL", *_argv(name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=patience(START_LIMIT))


def _argv(name: str) -> list[str]:
    """
    Return how a program is run.

    Debian's alertmanager reads its templates from below ``/usr/share``. Where only the
    program was unpacked, it runs in a mount namespace in which they are there too.
    """
    program = find_tool(name)
    share = Path(program).resolve().parent / "share"
    if name != "alertmanager" or not share.is_dir():
        return [program]
    mount = 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share'
    script = f'{mount}; exec "$@"'
    return ["unshare", "--mount", "sh", "-ec", script, str(share), program]


def _is_ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).close()
        return True
    return False


# --- times -----------------------------------------------------------------------


def prompt(settings: Json) -> Json:
    """Return the configuration of Prometheus with short intervals."""
    times = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    assert settings["global"].keys() == times.keys()
    return {**settings, "global": {**times, "scrape_timeout": INTERVAL}}


def prompt_rules(rules: Json) -> Json:
    """Return recording rules that are evaluated as often as all else."""
    groups = [{**group, "interval": INTERVAL} for group in rules["groups"]]
    return {"groups": groups}


def hurried(rules: Json) -> Json:
    """Return alert rules that fire within seconds: no `for`, and less drift."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
            if rule["alert"] == "ReconcilerHostDrift":
                assert "> 900" in rule["expr"]
                rule["expr"] = rule["expr"].replace("> 900", f"> {DRIFT_LIMIT}")
    return rules


def prompt_routes(settings: Json) -> Json:
    """Return the configuration of Alertmanager with short waits."""
    waits = {"group_wait": "0s", "group_interval": "1s"}
    assert settings["route"].keys() >= waits.keys()
    return {**settings, "route": {**settings["route"], **waits}}


def _operator(settings: Json, hook: Json) -> Json:
    (receiver,) = settings["receivers"]
    assert receiver == {"name": "operator"}
    return {**receiver, "webhook_configs": [hook]}


def _edit(file: Path, change: Any) -> None:  # noqa: ANN401 -- one of those above
    file.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text()))))


# --- the receiver ----------------------------------------------------------------


class _Receiver:
    """Takes what Alertmanager sends, on a port of its own."""

    def __init__(self, received: list[Json]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                received.extend(json.loads(self.rfile.read(length))["alerts"])
                self.send_response(200)
                self.end_headers()

            @override
            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
