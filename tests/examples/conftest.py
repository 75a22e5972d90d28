"""The example's programs, started for real."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.wait import patience

DEADLINE = 60.0  # seconds; each wait ends much sooner when all is well

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "repo"


class Program:
    """A running program and what it has printed so far."""

    def __init__(
        self, argv: list[str], *, cwd: Path, environment: Mapping[str, str]
    ) -> None:
        self.output = ""
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_for(self, text: str) -> str:
        """Return the output once *text* is in it; fail at the deadline or the end."""
        until = time.monotonic() + DEADLINE
        while text not in self.output:
            if not self._read(until - time.monotonic()):
                pytest.fail(f"{text!r} never came. The output:\n{self.output}")
        return self.output

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal *number* and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the exit status once the program has ended by itself."""
        until = time.monotonic() + DEADLINE
        while self._read(until - time.monotonic()):
            pass
        return self.process.wait(patience(DEADLINE))

    def close(self) -> None:
        """Leave nothing running."""
        self.process.kill()
        self.process.wait(patience(DEADLINE))
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, seconds))
        chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
        self.output += chunk.decode(errors="replace")
        return bool(chunk)


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a program of the example by its name."""
    running: list[Program] = []

    def start_program(
        name: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Program:
        script = EXAMPLE / "pkgs" / name / f"{name}.py"
        running.append(
            Program(
                [sys.executable, str(script), *arguments],
                cwd=tmp_path,
                environment=environment or {},
            )
        )
        return running[-1]

    yield start_program
    for program in running:
        program.close()


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """Write a file with two facts in it."""
    path = tmp_path / "facts.txt"
    path.write_text("# not a fact\n\nPrinters are shy.\nToner is <patient>.\n")
    return path
