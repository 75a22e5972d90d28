"""A real PostgreSQL, on a socket in a folder of its own; it ends with the tests."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.support.wait import patience, wait_until

DEADLINE = 60.0
ACCESS = """\
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""
# What it keeps is thrown away: nothing need reach the disk.
OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",
    "lc_messages": "C",
    "logging_collector": "off",
}


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL that is installed, if any is."""
    found = list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:  # as Debian has it, side by side
        return max(found, key=lambda path: float(path.parts[-3])).parent
    here = shutil.which("postgres")
    return Path(here).resolve().parent if here else None


@dataclass(slots=True, kw_only=True)
class Cluster:
    """One PostgreSQL with any number of databases."""

    folder: Path
    programs: Path
    port: int
    _server: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str, user: str = "tester") -> str:
        """Return the URL of a database, over the socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def new(self, options: str = "") -> str:
        """Make a database; return its URL."""
        name = f"history_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return self.url(name)

    def run(self, sql: str, url: str = "") -> list[tuple[object, ...]]:
        """Run a statement; return its rows."""
        there = url or self.url("postgres")
        with psycopg.connect(there, autocommit=True) as connection:
            found = connection.execute(sql)
            return found.fetchall() if found.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"-c{name}={value}" for name, value in OPTIONS.items()]
        where = (f"-k{self.folder}", f"-p{self.port}", "-hlocalhost")
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", *_as_nobody()),
                    *(str(self.programs / "postgres"), f"-D{self.folder / 'data'}"),
                    *(*where, *options),
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, DEADLINE, f"PostgreSQL to answer: {self.folder}/log")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it at once, by SIGQUIT as in a crash, and wait until it is gone."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(patience(DEADLINE))
            self._server = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        assert self._server is not None
        pid = self._server.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.run("SELECT 1"))
        return False


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL for the length of the body."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        one = Cluster(folder=Path(folder), programs=found, port=_free_port())
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        one.folder.chmod(0o755)
        data = one.folder / "data"
        made = subprocess.run(
            [
                *("setpriv", *_as_nobody(), str(found / "initdb"), f"--pgdata={data}"),
                *("--no-sync", "--username=tester", "--encoding=UTF8", "--locale=C"),
                *("--no-instructions", "--auth=trust"),
            ],
            capture_output=True,
            text=True,
            timeout=patience(DEADLINE),
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        (data / "pg_hba.conf").write_text(ACCESS)
        one.start()
        try:
            yield one
        finally:
            one.stop()


def _as_nobody() -> tuple[str, ...]:
    """Return what setpriv is to change: PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    return (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
