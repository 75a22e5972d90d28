"""
A whole set-up for tests: hosts, a bare repository with the example in it, the daemon.

    def test_…(fleet: FleetFactory, tmp_path: Path) -> None:
        with Rig(tmp_path, fleet("chrysalis")) as rig:
            rig.run_daemon()
            rig.push("first")
            rig.wait_in_sync("chrysalis")
"""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

from reconciler.history import History
from reconciler.plan import status_as_dict
from tests.support import warm
from tests.support.fleet import Fleet, FleetHost
from tests.support.wait import patience, stretched, wait_until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "repo"
NIXPKGS = ROOT / "lab" / "nixpkgs"
NIX_OPTIONS = {"build-users-group": "", "sandbox": "false", "substitute": "false"}
QUICK = {
    "mode": "auto",
    "adopt": "always",  # each host of a test is a fresh one
    "interval": "10s",
    "settle": "0.2s",
    "confirm_timeout": "20s",
}
DEADLINE = 60.0  # seconds for anything that the daemon should do by itself

Json = Any  # what json.loads returns


class Repository:
    """A bare repository and a clone to write in."""

    def __init__(self, folder: Path, content: Path) -> None:
        self.bare = folder / "nixos-configs.git"
        self.work = folder / "nixos-configs"
        git("init", "-q", "--bare", "-b", "main", str(self.bare))
        shutil.copytree(content, self.work, symlinks=True)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(self.bare))

    def git(self, *words: str) -> str:
        """Run git in the clone; return what it printed."""
        return git("-C", str(self.work), *words)

    def push_to(self, url: str, ssh_config: Path) -> None:
        """Have `push` push to a host, over SSH, from now on."""
        self.git("remote", "set-url", "origin", url)
        self.git("config", "core.sshCommand", f"ssh -F {ssh_config}")

    def push(self, subject: str, *options: str) -> str:
        """Commit everything and push; return the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        self.git("push", "-q", *options, "origin", "HEAD:main")
        return self.head

    @property
    def head(self) -> str:
        """The commit that the clone is at."""
        return self.git("rev-parse", "HEAD").strip()

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace *old*, which must be there, by *new* in a file of the clone."""
        path = self.work / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new))


class Rig:
    """A fleet, a repository and a daemon; a context manager that ends the daemon."""

    def __init__(
        self,
        folder: Path,
        fleet: Fleet,
        *,
        content: Path = EXAMPLE,
        policy: Mapping[str, object] | None = None,
    ) -> None:
        self.folder = folder
        self.fleet = fleet
        self.state = folder / "state"
        self.settings = folder / "reconciler.yaml"
        self.secrets = folder / "secrets"
        self.save_secret("the token of the first day")
        self.log = folder / "daemon.log"
        self.repository = Repository(folder, content)
        self.port = free_port()
        self.policy: dict[str, object] = {**QUICK, **(policy or {})}
        for deadline in ("confirm_timeout", "switch_timeout"):
            if text := self.policy.get(deadline):
                seconds = stretched(float(str(text).removesuffix("s")))
                self.policy[deadline] = f"{seconds:.1f}s"
        self.changed: tuple[str, ...] = ()
        """What is different about the daemon: tests/support/faults/daemon.py."""
        self.daemon: warm.Running | None = None
        self.write_settings()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_daemon(kill=True)
        if error is not None:
            self._tell_log()

    def _tell_log(self) -> None:
        if self.log.exists():
            sys.stderr.write(f"--- {self.log}\n{self.log.read_text()[-8000:]}\n")

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Have a wait in vain say what was known then."""
        try:
            yield
        except AssertionError:
            sys.stderr.write(f"--- status\n{json.dumps(self.status(), indent=1)}\n")
            self._tell_log()
            raise

    # --- settings and the program ------------------------------------------------

    def write_settings(self, **sections: object) -> None:
        """Write reconciler.yaml; *sections* replace those of the same name."""
        whole: dict[str, object] = {
            "repository": {
                "url": str(self.repository.bare),
                "secrets": {"common/services/secrets": str(self.secrets)},
            },
            "nix": {"path": [f"nixpkgs={NIXPKGS}"], "options": NIX_OPTIONS},
            "policy": self.policy,
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "state": str(self.state),
            **sections,
        }
        # JSON is YAML; the fleet tool's part comes as it is.
        lines = [f"{name}: {json.dumps(value)}" for name, value in whole.items()]
        fleet = self.fleet.settings.read_text()
        self.settings.write_text("\n".join([*lines, fleet]))

    def save_secret(self, token: str) -> None:
        """Save the bot's key where git does not see it, as an editor would."""
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        new = self.secrets / "withinbot.env.new"
        new.write_text(f"WITHINBOT_TOKEN='{token}'\n")
        new.rename(self.secrets / "withinbot.env")

    def argv(self, *words: str) -> list[str]:
        """Return the argv of a reconciler command with this rig's settings."""
        return [sys.executable, "-m", "reconciler", "-c", str(self.settings), *words]

    def run(
        self, *words: str, status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a reconciler command; it must exit with *status* (None: any)."""
        done = warm.run(self.argv(*words), timeout=patience(120))
        if status is not None and done.returncode != status:
            msg = f"{words} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise AssertionError(msg)
        return done

    def json(self, *words: str, status: int | None = 0) -> Json:
        """Run a command with --json; return what it printed."""
        return json.loads(self.run(*words, "--json", status=status).stdout)

    # --- the daemon --------------------------------------------------------------

    def run_daemon(self, *changed: str) -> None:
        """Start the daemon, *changed* this once; returns when it serves metrics."""
        argv = self.argv("run")
        if changed or self.changed:
            argv[2:3] = ["tests.support.faults.daemon", *(changed or self.changed)]
        with self.log.open("ab") as log:
            self.daemon = warm.start(argv, (log, log), session=True)
        wait_until(self.healthy, DEADLINE, "the daemon to serve metrics")

    def healthy(self) -> bool:
        """Whether the daemon says that it is well; fails if it ended by itself."""
        assert self.daemon is not None
        assert self.daemon.poll() is None, self.log.read_text()[-4000:]
        with contextlib.suppress(OSError):
            return self.get("/healthz")[0] == 200
        return False

    def stop_daemon(self, *, kill: bool = False) -> int:
        """End the daemon in good order, or with SIGKILL; return its exit status."""
        daemon, self.daemon = self.daemon, None
        if daemon is None:
            return 0
        if kill:
            daemon.kill()
        else:
            daemon.terminate()
        return daemon.wait(timeout=patience(60))

    def get(self, path: str) -> tuple[int, str]:
        """Fetch *path* from the daemon; return status and body."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, series: str) -> float | None:
        """Return the value of a series, given as Prometheus writes it, or None."""
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return None

    # --- what is seen ------------------------------------------------------------

    def push(self, subject: str, *options: str) -> str:
        """Commit everything in the clone and push; return the commit."""
        return self.repository.push(subject, *options)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the clone."""
        self.repository.edit(file, old, new)

    def only(self, name: str) -> None:
        """Leave one host in the network of the clone."""
        file = self.repository.work / "network.nix"
        others = rf"^  (?!{name}|defaults)(\w+) = \{{\n(?:.*\n)*?  \}};\n"
        text = re.sub(others, "", file.read_text(), flags=re.MULTILINE)
        file.write_text(text)

    def host(self, name: str) -> FleetHost:
        """Return a host."""
        return self.fleet[name]

    def status(self) -> dict[str, Json]:
        """Return what ``status --json`` says, by host, without starting a program."""
        with contextlib.closing(
            History.open(self.state / "history.sqlite", read_only=True)
        ) as history:
            return {one.host: status_as_dict(one) for one in history.statuses()}

    def wait_in_sync(self, *names: str, deadline_s: float = DEADLINE) -> None:
        """Wait until the hosts are in sync with the commit that was pushed last."""
        head = self.repository.head

        def in_sync() -> bool:
            found = self.status()
            return all(
                name in found
                and found[name]["in_sync"]
                and found[name]["commit"] == head
                for name in names
            )

        with self.told():
            wait_until(in_sync, deadline_s, f"{names} to be in sync with {head}")

    def wait_error(self, name: str, *words: str, deadline_s: float = DEADLINE) -> str:
        """Wait until the status of a host shows a problem with *words*; return it."""

        def problem() -> str:
            told = str(self.status().get(name, {}).get("error") or "")
            return told if all(word in told for word in words) else ""

        with self.told():
            return wait_until(problem, deadline_s, f"{name} to show a problem: {words}")

    def invocation(self, host: str, unit: str) -> str:
        """Return what changes whenever *unit* is started again."""
        argv = ("systemctl", "show", "-p", "InvocationID", "--value", unit)
        return self.host(host).exec(*argv).strip()


def git(*words: str) -> str:
    """Run git as nobody in particular; return what it printed."""
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(
        ["git", *who, "-c", "protocol.file.allow=always", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    return done.stdout


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def daemon_of(rig: Rig) -> Iterator[Rig]:
    """Run the daemon for the length of the body and end it in good order."""
    rig.run_daemon()
    yield rig
    assert rig.stop_daemon() == 0
