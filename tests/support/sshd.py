"""
A real sshd on a loopback address, with keys, port and known_hosts of its own.

``running(directory)`` starts one and stops it again. By hand:

    python tests/support/sshd.py start DIR
    python tests/support/sshd.py stop DIR
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.model import Target
from reconciler.remote.connections import Connections
from reconciler.settings import SshSettings
from tests.support.wait import patience, wait_until

DEADLINE = 60.0
OTHER_USER = "deploy"
KEY_TYPES = ("ed25519", "ecdsa")
PACKAGES = ("openssh-server", "libwrap0")
CONFIG = """\
ListenAddress {listen}
HostKey {directory}/host_ed25519
HostKey {directory}/host_ecdsa
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 500:30:1000
MaxSessions 100
LogLevel VERBOSE
"""
# Root's sshd wants a user "sshd" and refuses a locked account. A mount namespace shows
# it an /etc/passwd with one, and leaves the machine as it is.
AS_ROOT = """
ulimit -n 1024  # a session closes every possible file one by one
mkdir -p /run/sshd
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow || exit
shift
exec "$@"
"""


@dataclass(slots=True, kw_only=True)
class Sshd:
    """One sshd; ``directory`` holds its keys, settings and log."""

    directory: Path
    address: str = "127.0.0.1"
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def identity(self) -> Path:
        """The private key that is let in."""
        return self.directory / "identity"

    @property
    def known_hosts(self) -> Path:
        """A known_hosts file with this sshd in it."""
        return self.directory / "known_hosts"

    @property
    def target(self) -> Target:
        """Where it listens."""
        user = Path("~").expanduser().owner()
        return Target(address=self.address, port=self.port, user=user)

    def settings(self, *, connect_timeout: float = 30.0) -> SshSettings:
        """Return settings that reach it."""
        return SshSettings(identity=self.identity, connect_timeout=connect_timeout)

    def start(self) -> None:
        """Start it, on the same port as before if it ran, and wait for its banner."""
        self.port = self.port or _free_port(self.address)
        _prepare(self)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_wrapper(self.directory), *_argv(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        (self.directory / "pid").write_text(str(self.process.pid))
        _await_banner(self)

    def stop(self) -> None:
        """Kill it and every session of it."""
        if self.process is not None:
            _kill(self.process.pid)
            self.process.wait(patience(DEADLINE))
            self.process = None

    def end_sessions(self) -> None:
        """Kill the sessions and go on listening, as after a crash of the host."""
        assert self.process is not None
        for pid in _descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it where it is: the kernel accepts connections, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def replace_keys(self) -> None:
        """Give it new host keys at its next start, as if installed anew."""
        for kind in KEY_TYPES:
            (self.directory / f"host_{kind}").unlink()

    def log(self) -> str:
        """Return what it logged."""
        return (self.directory / "log").read_text()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        for pid in [self.process.pid, *_descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def running(directory: Path, *, address: str = "127.0.0.1") -> Iterator[Sshd]:
    """Run an sshd for as long as the body lasts; skip the test if there is none."""
    if find_sshd() is None:
        pytest.skip("there is no sshd, and no Debian package of one to be had")
    sshd = Sshd(directory=directory, address=address)
    try:
        sshd.start()
        yield sshd
    finally:
        sshd.stop()


@contextlib.contextmanager
def connected(sshd: Sshd, *, connect_timeout: float = 30.0) -> Iterator[Connections]:
    """Give connections to *sshd* that no ssh_config of this machine has a say in."""
    config = sshd.directory / "ssh_config"
    config.touch()
    connections = Connections(
        sshd.settings(connect_timeout=connect_timeout),
        known_hosts=sshd.known_hosts,
        account=config,
    )
    try:
        yield connections
    finally:
        connections.close()


def find_sshd() -> Path | None:
    """Return an sshd; without one, unpack Debian's into a cache and use that."""
    search = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    if found := shutil.which("sshd", path=search):
        return Path(found).resolve()
    unpacked = _cache() / "usr/sbin/sshd"
    if not unpacked.exists() and shutil.which("apt-get"):
        _download()
    return unpacked if unpacked.exists() else None


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "reconciler-tests", "openssh-server")


def _download() -> None:
    cache = _cache()
    cache.parent.mkdir(parents=True, exist_ok=True)
    work = cache.with_name(f".{cache.name}.{os.getpid()}")
    work.mkdir()
    try:
        subprocess.run(
            ["apt-get", "-q", "download", *PACKAGES],
            cwd=work,
            capture_output=True,
            timeout=120,
            check=True,
        )
        for package in sorted(work.glob("*.deb")):
            subprocess.run(
                ["dpkg-deb", "-x", package, work / "root"], timeout=60, check=True
            )
        with contextlib.suppress(OSError):  # somebody else was faster
            (work / "root").rename(cache)
    except subprocess.SubprocessError as error:
        print(f"no sshd could be downloaded: {error}", file=sys.stderr)  # noqa: T201
    finally:
        shutil.rmtree(work)


def _environment() -> dict[str, str]:
    libraries = sorted({str(path.parent) for path in _cache().rglob("lib*.so*")})
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def _prepare(sshd: Sshd) -> None:
    directory = sshd.directory
    directory.mkdir(parents=True, exist_ok=True)
    for kind in KEY_TYPES:
        _generate(directory / f"host_{kind}", kind)
    _generate(directory / "identity", "ed25519")
    shutil.copy(directory / "identity.pub", directory / "authorized_keys")
    name = f"[{sshd.address}]:{sshd.port}"  # for known_hosts and sshd_config alike
    keys = [(directory / f"host_{kind}.pub").read_text() for kind in KEY_TYPES]
    sshd.known_hosts.write_text("".join(f"{name} {key}" for key in keys))
    (directory / "sshd_config").write_text(
        CONFIG.format(listen=name, directory=directory)
    )


def _generate(path: Path, kind: str) -> None:
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path],
            stdin=subprocess.DEVNULL,
            timeout=patience(DEADLINE),
            check=True,
        )


def _argv(directory: Path) -> list[str]:
    return [str(find_sshd()), "-D", "-e", "-f", str(directory / "sshd_config")]


def _wrapper(directory: Path) -> list[str]:
    """Return the command that gives root's sshd the accounts that it wants."""
    if os.geteuid() != 0:
        return []
    # A home of its own: bash reads ~/.bashrc even for a command over SSH.
    # "deploy" is another name to log in with, which may still do everything.
    users = [f"{name}:x:0:0::{directory}:/bin/bash\n" for name in ("root", OTHER_USER)]
    sshd = "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    (directory / "passwd").write_text("".join(users) + sshd)
    names = ("root", OTHER_USER, "sshd")
    (directory / "shadow").write_text("".join(f"{n}:*:1::::::\n" for n in names))
    script = ["sh", "-c", AS_ROOT, "sh", str(directory)]
    return ["unshare", "--mount", "--propagation", "private", *script]


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        return int(server.getsockname()[1])


def _await_banner(sshd: Sshd) -> None:
    process = sshd.process
    assert process is not None

    def greets() -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((sshd.address, sshd.port), 1) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False

    wait_until(
        lambda: process.poll() is not None or greets(), DEADLINE, "sshd to greet"
    )
    if process.poll() is not None:
        message = f"sshd did not start: {sshd.log()}"
        raise RuntimeError(message)


def _kill(pid: int) -> None:
    for found in [pid, *_descendants(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in map(int, children):
            found += [child, *_descendants(child)]
    return found


def main() -> None:
    """Start or stop an sshd by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    sshd = Sshd(directory=arguments.directory.resolve())
    if arguments.action == "start":
        sshd.start()
        sys.stdout.write(f"{sshd.address} {sshd.port}\n")
    else:
        _kill(int((sshd.directory / "pid").read_text()))


if __name__ == "__main__":
    main()
