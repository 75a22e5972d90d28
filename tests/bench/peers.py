"""Other programs that run one command on many hosts."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reconciler.model import HostName
from reconciler.settings import load
from tests.bench.names import keys_in
from tests.bench.setting import HOST
from tests.support.rig import Rig

REQUIREMENTS = Path(__file__).with_name("peers.txt")
INSTALL_DEADLINE = 300.0  # seconds
DEADLINE = 120.0

Way = Callable[[], float]

SSH_CONFIG = """\
Host name*
  HostName {address}
  HostKeyAlias {address}
  User root
  IdentityFile {keys}/%n
  IdentitiesOnly yes
Include {fleet}
"""
MULTIPLEXED = """\
Host name*
  ControlMaster auto
  ControlPath {folder}/%n
  ControlPersist 120
Include {plain}
"""
ANSIBLE_CFG = """\
[defaults]
inventory = {folder}/hosts
forks = {at_once}
stdout_callback = minimal
interpreter_python = /usr/bin/false
[ssh_connection]
control_path_dir = {folder}/ansible
ssh_args = -F {plain} -o ControlMaster=auto -o ControlPersist=120s
"""
PYINFRA_INVENTORY = """\
hosts = [
    (name, {{
        "ssh_hostname": "{address}",
        "ssh_user": "root",
        "ssh_key": "{keys}/" + name,
        "ssh_known_hosts_file": "{known_hosts}",
        "ssh_strict_host_key_checking": "yes",
        "ssh_look_for_keys": False,
        "ssh_allow_agent": False,
    }})
    for name in {names!r}
]
"""


class Peers:
    """Runs *command* on the host under each of *names*, *at_once* at a time."""

    def __init__(
        self,
        folder: Path,
        rig: Rig,
        names: Sequence[HostName],
        *,
        command: str,
        at_once: int,
    ) -> None:
        self._folder = folder
        self._names = [str(name) for name in names]
        self._command = command
        self._at_once = at_once
        self._plain = folder / "ssh_config"
        self._multiplexed = folder / "ssh_config.multiplexed"
        (folder / "ansible").mkdir()
        self._write(rig)

    def _write(self, rig: Rig) -> None:
        address = rig.host(HOST).address
        fleet, folder = rig.fleet.path, self._folder
        ssh = load(rig.settings).ssh
        self._plain.write_text(
            SSH_CONFIG.format(
                address=address, fleet=fleet / "ssh_config", keys=keys_in(rig)
            )
        )
        self._multiplexed.write_text(
            MULTIPLEXED.format(folder=folder / "masters", plain=self._plain)
        )
        (folder / "masters").mkdir()
        (folder / "hosts").write_text("\n".join([*self._names, ""]))
        (folder / "ansible.cfg").write_text(
            ANSIBLE_CFG.format(folder=folder, at_once=self._at_once, plain=self._plain)
        )
        (folder / "inventory.py").write_text(
            PYINFRA_INVENTORY.format(
                address=address,
                keys=keys_in(rig),
                known_hosts=ssh.known_hosts,
                names=self._names,
            )
        )

    # --- OpenSSH -----------------------------------------------------------------

    def openssh(self) -> dict[str, Way]:
        """Return the ways of OpenSSH with ControlMaster."""
        masters = self._folder / "masters"
        argv = ("ssh", "-F", str(self._multiplexed), "{}", self._command)
        each = ("xargs", "-P", str(self._at_once), "-I", "{}", *argv)
        names = "\n".join(self._names)

        def warm() -> float:
            return run(each, stdin=names)

        def cold() -> float:
            end_masters(masters)
            return warm()

        return {"OpenSSH, cold": cold, "OpenSSH, warm": warm}

    # --- what is installed for the purpose ---------------------------------------

    def installed(self) -> dict[str, Way]:
        """Return the ways of pyinfra and Ansible, installed if need be."""
        programs = install()
        inventory = str(self._folder / "inventory.py")
        pyinfra = (
            *(str(programs / "pyinfra"), "--yes", "--parallel", str(self._at_once)),
            *(inventory, "exec", "--", self._command),
        )
        raw = (str(programs / "ansible"), "all", "-m", "raw", "-a", self._command)
        masters = self._folder / "ansible"
        env = {
            "ANSIBLE_CONFIG": str(self._folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._folder / "ansible-home"),
            "HOME": str(self._folder),
        }

        def cold() -> float:
            end_masters(masters)
            return run(raw, env=env)

        return {
            "pyinfra exec, cold": lambda: run(pyinfra, env=env),
            "ansible -m raw, cold": cold,
            "ansible -m raw, warm": lambda: run(raw, env=env),
        }


def end_masters(folder: Path) -> None:
    """End the connections that OpenSSH keeps in *folder*."""
    for master in list(folder.iterdir()):
        argv = ["ssh", "-O", "exit", "-o", f"ControlPath={master}", "anywhere"]
        subprocess.run(argv, capture_output=True, check=True, timeout=DEADLINE)


def run(
    argv: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None
) -> float:
    """Run *argv* to its end, its output thrown away; return the seconds it took."""
    began = time.monotonic()
    # No pipes: a connection that is kept would hold their other ends.
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            argv,
            input=stdin,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(env or {})},
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        took = time.monotonic() - began
        if done.returncode != 0:
            errors.seek(0)
            message = (
                f"{argv[0]} exited with {done.returncode}: {errors.read()[-2000:]}"
            )
            raise RuntimeError(message)
    return took


def install() -> Path:
    """Install pyinfra and Ansible apart from everything; return where they are."""
    folder = cache() / "bench-venv"
    stamp = folder / REQUIREMENTS.name
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        options = ("--disable-pip-version-check", "-qq", "--no-input")
        pip = (str(folder / "bin/pip"), "install", *options)
        for argv in (
            (sys.executable, "-m", "venv", "--clear", str(folder)),
            (*pip, "--requirement", str(REQUIREMENTS)),
        ):
            subprocess.run(
                argv, check=True, stdout=sys.stderr, timeout=INSTALL_DEADLINE
            )
        stamp.write_text(REQUIREMENTS.read_text())
    return folder / "bin"


def cache() -> Path:
    """Return the folder that scripts/setup keeps its tools in, too."""
    if place := os.environ.get("RECONCILER_FLEET_CACHE"):
        return Path(place)
    if place := os.environ.get("XDG_CACHE_HOME"):
        return Path(place, "reconciler-fleet")
    return Path("/var/cache/reconciler-fleet")
