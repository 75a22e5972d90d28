"""
Real hosts for tests, through the same tool that people use.

    def test_…(fleet: FleetFactory) -> None:      # or module_fleet, see conftest.py
        hosts = fleet("chrysalis", "keanu")
        hosts["chrysalis"].ssh("systemctl is-active sshd")
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from tests.support import warm
from tests.support.leftovers import unmarked
from tests.support.wait import patience

FLEET_TOOL = Path(__file__).parents[2] / "lab/fleet/fleet"

if str(FLEET_TOOL.parent) not in sys.path:
    sys.path.append(str(FLEET_TOOL.parent))

from fleetlib.errors import FleetError  # noqa: E402 # from where the tool is
from fleetlib.fleet import load  # noqa: E402
from fleetlib.host import Host  # noqa: E402
from fleetlib.places import FleetDir  # noqa: E402

# With this Python: what stands for python3 on the PATH may be slow to find it.
TOOL = (sys.executable, str(FLEET_TOOL))
TOOL_DEADLINE = 300.0  # seconds; `up` may have to build an image


class ToolError(AssertionError):
    """A command of the fleet tool, or inside a host, failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHost:
    """One running host of a fleet."""

    fleet: "Fleet"
    name: str
    address: str
    user: str

    def exec(
        self, *argv: str, stdin: str | None = None, deadline_s: float = 60.0
    ) -> str:
        """Run *argv* as root inside the host, without SSH; return its stdout."""
        return _run(self.exec_argv(*argv), stdin=stdin, deadline_s=deadline_s)

    def exec_argv(self, *argv: str) -> list[str]:
        """
        Return the command line that runs *argv* as `exec` does, and ``fleet exec``.

        Tests look into hosts all the time, and to start the tool costs more than most
        of what they run there.
        """
        host = self._known()
        if host.state == "frozen":
            msg = f"{self.name} is frozen"
            raise ToolError(msg)
        try:
            return host.enter_argv(list(argv))
        except FleetError as error:
            raise ToolError(error) from error

    def exec_status(self, *argv: str) -> int:
        """Run *argv* as `exec` does; return its exit status only."""
        done = subprocess.run(
            self.exec_argv(*argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=patience(60),
        )
        return done.returncode

    def ssh(self, command: str, *, deadline_s: float = 60.0) -> str:
        """Run a shell command over SSH; return its stdout."""
        argv = ["ssh", "-F", str(self.fleet.path / "ssh_config"), self.name, command]
        return _run(argv, stdin=None, deadline_s=deadline_s)

    def is_active(self, unit: str) -> bool:
        """Whether systemd says that *unit* is active."""
        return self.exec_status("systemctl", "--quiet", "is-active", unit) == 0

    @property
    def state(self) -> str:
        """``running``, ``frozen`` or ``off``."""
        return self._known().state

    @property
    def boot_id(self) -> str:
        """The kernel's id of this boot."""
        try:
            return self._known().boot_id()
        except (FleetError, OSError) as error:
            raise ToolError(error) from error

    @property
    def running_toplevel(self) -> str:
        """The store path of the system that runs."""
        return self.resolve("/run/current-system")

    def resolve(self, path: str) -> str:
        """
        Follow the links at *path*, from outside; raise `ToolError` where it is off.

        For who asks while the host may be on its way down: of a process that entered
        it PID 1 does not hear that it ended, and waits for it for 90 s.
        """
        try:
            root = Path(f"/proc/{self._known().leader()}/root")
            while (place := root / path.lstrip("/")).is_symlink():
                path = str(Path(path).parent / place.readlink())
        except (FleetError, OSError) as error:
            raise ToolError(error) from error
        return path

    def reboot(self) -> None:
        """Reboot in good order; returns when SSH answers again."""
        self._tool("reboot")

    def freeze(self) -> None:
        """Stop every process: the host accepts TCP and says nothing."""
        self._tool("freeze")

    def thaw(self) -> None:
        """Let a frozen host run on."""
        self._tool("thaw")

    def kill(self) -> None:
        """Cut the power."""
        self._tool("kill")

    def start(self) -> None:
        """Switch on again; returns when SSH answers."""
        self._tool("start")

    def _tool(self, verb: str) -> None:
        run_tool(verb, self.name, "--dir", str(self.fleet.path))

    def _known(self) -> Host:
        """Return the host as the tool knows it."""
        return load(FleetDir(path=self.fleet.path.resolve())).host(self.name)


@dataclass(slots=True, kw_only=True)
class Fleet:
    """The hosts in one folder; ``fleet["chrysalis"]`` is a host."""

    path: Path
    _hosts: dict[str, FleetHost] = field(default_factory=dict)

    @property
    def settings(self) -> Path:
        """The file with the ``ssh:`` and ``hosts:`` sections for the reconciler."""
        return self.path / "fleet.yaml"

    def up(self, *names: str, options: Sequence[str] = ()) -> None:
        """Start and add hosts; *options* are more options of the tool's ``up``."""
        run_tool("up", *names, "--dir", str(self.path), *options)
        self.refresh()

    def refresh(self) -> None:
        """Learn of hosts that were not started through `up` of this object."""
        for row in self.list():
            host = FleetHost(
                fleet=self,
                name=row["name"],
                address=row["address"],
                user=row["user"],
            )
            self._hosts[host.name] = host

    def list(self) -> list[dict[str, str]]:
        """Return what the tool says of each host."""
        text = run_tool("list", "--json", "--dir", str(self.path))
        rows: list[dict[str, str]] = json.loads(text)
        return rows

    def down(self, *names: str) -> None:
        """End and delete hosts, or all of them."""
        run_tool("down", *names, "--dir", str(self.path))

    def __getitem__(self, name: str) -> FleetHost:
        """Return the host *name*."""
        return self._hosts[name]

    def __iter__(self) -> Iterator[FleetHost]:
        """Go through the hosts in the order of their start."""
        return iter(self._hosts.values())


class FleetFactory(Protocol):
    """What the fixtures give: starts hosts in a new fleet, which ends by itself."""

    def __call__(
        self, *names: str, debian: int = 12, options: Sequence[str] = ()
    ) -> Fleet:
        """Start the hosts *names*; without names an empty fleet to call `up` on."""


class Reaper:
    """Ends fleets and mounts when this process dies without having done so itself."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("reaper.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(FLEET_TOOL)],
            stdin=subprocess.PIPE,
            # Ctrl-C and a closing terminal are meant for the test run.
            start_new_session=True,
            env=unmarked(),
            text=True,
        )

    def watch(self, folder: Path) -> None:
        """End the fleet in *folder* too."""
        self._say(f"+fleet {folder}")

    def forget(self, folder: Path) -> None:
        """Leave the fleet in *folder* alone: it has ended."""
        self._say(f"-fleet {folder}")

    def watch_mount(self, folder: Path) -> None:
        """Unmount what is mounted at *folder* too."""
        self._say(f"+mount {folder}")

    def forget_mount(self, folder: Path) -> None:
        """Leave *folder* alone: nothing is mounted there any more."""
        self._say(f"-mount {folder}")

    def close(self) -> None:
        """End what is left, now."""
        self._stdin.close()
        self._process.wait(timeout=patience(120))

    def _say(self, line: str) -> None:
        self._stdin.write(f"{line}\n")
        self._stdin.flush()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin


@contextmanager
def fleets(base: Path, reaper: Reaper) -> Iterator[FleetFactory]:
    """Yield a factory of fleets in folders below *base*; end them all at the end."""
    started: list[Fleet] = []

    def start(*names: str, debian: int = 12, options: Sequence[str] = ()) -> Fleet:
        fleet = Fleet(path=base / str(len(started)))
        reaper.watch(fleet.path)
        started.append(fleet)
        if names:
            fleet.up(*names, options=["--debian", str(debian), *options])
        return fleet

    try:
        yield start
    finally:
        for fleet in started:
            fleet.down()
            reaper.forget(fleet.path)


def run_tool(
    *arguments: str, stdin: str | None = None, deadline_s: float = TOOL_DEADLINE
) -> str:
    """Run the fleet tool; return its stdout. Raises `ToolError` if it fails."""
    argv = [*TOOL, *arguments]
    if stdin is not None:
        return _run(argv, stdin=stdin, deadline_s=deadline_s)
    return _stdout(warm.run(argv, timeout=patience(deadline_s)))


def _run(argv: Sequence[str], *, stdin: str | None, deadline_s: float) -> str:
    done = subprocess.run(
        argv,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(deadline_s),
    )
    return _stdout(done)


def _stdout(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a program printed; raise `ToolError` if it failed."""
    if done.returncode != 0:
        said = f"{done.stderr}{done.stdout}"
        msg = f"{done.args} exited with status {done.returncode}:\n{said}"
        raise ToolError(msg)
    return done.stdout
