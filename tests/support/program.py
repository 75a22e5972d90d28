"""
The daemon as a program, over a repository of its own and without any host.

The repository is at a forge, so that a push is noticed only if somebody tells.

    with Program(tmp_path, webhooks=all_routes(tmp_path)) as program:
        program.start()
        assert program.get("/healthz")[0] == 200
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.support import warm
from tests.support.forge import Forge
from tests.support.rig import Repository, free_port
from tests.support.wait import patience, wait_until

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds
NO_HOSTS = '{ network.description = "nothing"; }\n'


class Program:
    """A repository whose network has no host, settings, and the daemon; a context."""

    def __init__(self, folder: Path, **sections: object) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.settings = folder / "reconciler.yaml"
        self.log = folder / "daemon.log"
        content = folder / "content"
        content.mkdir()
        (content / "network.nix").write_text(NO_HOSTS)
        self.repository = Repository(folder, content)
        self.repository.push("The first commit")
        self.forge = Forge(self.repository.bare)
        self.port = free_port()
        self.process: warm.Running | None = None
        self.write_settings(**sections)

    def __enter__(self) -> Self:
        self.forge.serve()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGKILL)
        self.forge.close()
        if error is not None and self.log.exists():
            sys.stderr.write(f"--- {self.log}\n{self.said[-8000:]}")

    def write_settings(self, **sections: object) -> None:
        """Write the settings, at once; *sections* replace those of the same name."""
        whole: dict[str, object] = {
            "repository": {"url": self.forge.url, "poll": "1h"},
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "state": str(self.state),
            **sections,
        }
        new = self.settings.with_suffix(".new")
        new.write_text(json.dumps(whole, indent=2))  # JSON is YAML
        new.rename(self.settings)

    @property
    def said(self) -> str:
        """What the daemon logged."""
        return self.log.read_text()

    def argv(self, *words: str) -> list[str]:
        """Return the argv of a command with these settings."""
        return [sys.executable, "-m", "reconciler", "-c", str(self.settings), *words]

    def start(self, verb: str = "run") -> None:
        """Start the daemon, or a worker; returns when it has read the repository."""
        with self.log.open("ab") as log:
            self.process = warm.start(self.argv(verb), (log, log), session=True)
        wait_until(self._is_up, DEADLINE, "the daemon to have read the repository")

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said[-4000:]
        with contextlib.suppress(httpx.TransportError):
            return self.metric("reconciler_fetches_total") >= 1
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(timeout=patience(DEADLINE))

    def get(self, path: str) -> tuple[int, str]:
        """Fetch *path*; return status and body."""
        answer = httpx.get(f"{self.address}{path}", timeout=patience(DEADLINE))
        return answer.status_code, answer.text

    def post(
        self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Post to *path*; return status and body."""
        url = f"{self.address}{path}"
        answer = httpx.post(
            url, content=body, headers=headers, timeout=patience(DEADLINE)
        )
        return answer.status_code, answer.text

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    def metric(self, series: str) -> float:
        """Return the value of a series, given as Prometheus writes it; 0 if none."""
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def run(
        self, *words: str, status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; it must exit with *status* (None: any)."""
        done = warm.run(
            self.argv(*words),
            timeout=patience(DEADLINE),
            env={**os.environ, "NO_COLOR": "1"},
        )
        if status is not None and done.returncode != status:
            msg = f"{words} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise AssertionError(msg)
        return done

    @property
    def resident_mib(self) -> float:
        """How much memory the daemon has."""
        assert self.process is not None
        return int(warm.status_of(self.process.pid, "VmRSS").split()[0]) / 1024
