"""A fleet: its state file, and what is done to all of it."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fleetlib.addresses import (
    HOSTS,
    address,
    block_of,
    claimed_block,
    registered,
    release,
)
from fleetlib.errors import FleetError
from fleetlib.generation import Expressions, generation
from fleetlib.host import Host, end_block, make_key
from fleetlib.image import image
from fleetlib.limits import raise_limits
from fleetlib.locks import locked
from fleetlib.places import REGISTRY, FleetDir
from fleetlib.ssh import Starting, wait_until_ready, write_client_files

HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
SIZE = re.compile(r"\d+[MG]")
REBOOT = signal.SIGRTMIN + 5  # systemd(1): starts reboot.target
REBOOT_DEADLINE = 120.0
PAUSE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `up` was asked for."""

    names: Sequence[str]
    debian: int
    user: str
    nix_size: str | None
    base: str | None
    expressions: Expressions

    def check(self) -> None:
        """Raise `FleetError` for a value that cannot be."""
        for name in self.names:
            if not HOST_NAME.fullmatch(name):
                msg = f"{name!r} is no host name: letters, digits and hyphens, up to 63"
                raise FleetError(msg)
        if not USER_NAME.fullmatch(self.user):
            msg = f"--user {self.user!r} is no user name"
            raise FleetError(msg)
        if self.nix_size and not SIZE.fullmatch(self.nix_size):
            msg = f"--nix-size {self.nix_size}: expected a size such as 200M or 1G"
            raise FleetError(msg)
        if self.base:
            block_of(self.base)


@dataclass(slots=True, kw_only=True)
class Fleet:
    """The fleet in one folder, as its state file has it."""

    folder: FleetDir
    block: str
    hosts: dict[str, Host]

    def host(self, name: str) -> Host:
        """Return the host *name*; raises `FleetError` if there is none."""
        try:
            return self.hosts[name]
        except KeyError:
            known = ", ".join(sorted(self.hosts)) or "none"
            msg = f"no host {name!r} in {self.folder.path}; there are: {known}"
            raise FleetError(msg) from None

    def save(self) -> None:
        """Write the state file and the files for clients."""
        hosts = sorted(self.hosts.values(), key=lambda host: host.name)
        state = {
            "block": self.block,
            "hosts": {
                host.name: {
                    "address": host.address,
                    "debian": host.debian,
                    "user": host.user,
                    "nix_size": host.nix_size,
                }
                for host in hosts
            },
        }
        if hosts:
            write_client_files(self.folder, hosts)
        # Last, and at once or not at all: a host in the state can be started, also
        # when this tool is killed in the next moment.
        draft = self.folder.state.with_suffix(".tmp")
        draft.write_text(json.dumps(state, indent=2) + "\n")
        draft.replace(self.folder.state)

    def write_names(self) -> None:
        """Tell every host every host's address."""
        addresses = {host.name: host.address for host in self.hosts.values()}
        for host in self.hosts.values():
            host.write_names(addresses)


def load(folder: FleetDir) -> Fleet:
    """Return the fleet in *folder*; raises `FleetError` if there is none."""
    try:
        text = folder.state.read_text()
    except FileNotFoundError as error:
        msg = f"no fleet in {folder.path}: `fleet up NAME… --dir …` starts one"
        raise FleetError(msg) from error
    try:
        state = json.loads(text)
        block = state["block"]
        hosts = {
            name: Host(fleet=folder, block=block, name=name, **values)
            for name, values in state["hosts"].items()
        }
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{folder.state} is damaged: `fleet down --dir …` clears the fleet away"
        raise FleetError(msg) from error
    return Fleet(folder=folder, block=block, hosts=hosts)


def up(folder: FleetDir, wanted: Wanted) -> Fleet:
    """Add the wanted hosts to the fleet in *folder*; return when SSH works on all."""
    wanted.check()
    raise_limits()
    root = image(wanted.debian)
    layers = {name: generation(name, wanted.expressions) for name in wanted.names}
    with _locked(folder) as lock:
        fleet = _load_or_create(folder, wanted)
        _refuse_known(fleet, wanted.names)
        make_key(folder.identity, comment=f"fleet-{fleet.block}")
        new = [_new_host(fleet, name, wanted) for name in layers]
        for host in new:
            host.remove()  # what a killed `up` left
            host.install(root, layers[host.name])
        fleet.write_names()
        fleet.save()
        starting = [Starting(host=host, supervisor=host.power_on(lock)) for host in new]
    wait_until_ready(starting)
    return fleet


def start(folder: FleetDir, names: Sequence[str]) -> None:
    """Switch hosts on that are off; return when SSH works on all of them."""
    raise_limits()
    with _locked(folder) as lock:
        fleet = load(folder)
        hosts = [fleet.host(name) for name in names]
        # A host may be on without being ready: when its `up` was killed.
        starting = [
            Starting(host=host, supervisor=_ensure_power(host, lock)) for host in hosts
        ]
    wait_until_ready(starting)


def kill(folder: FleetDir, names: Sequence[str]) -> None:
    """Cut the power of hosts; their disks stay."""
    with _locked(folder):
        fleet = load(folder)
        for host in [fleet.host(name) for name in names]:
            host.leader()  # refuses a host that is off
            host.power_off()


def reboot(folder: FleetDir, names: Sequence[str]) -> None:
    """Reboot hosts in good order; return when SSH works on all of them again."""
    fleet = load(folder)
    hosts = [fleet.host(name) for name in names]
    before = {host.name: host.boot_id() for host in hosts}
    for host in hosts:
        if host.groups.frozen:
            msg = f"{host.name} is frozen: `fleet thaw {host.name}` first"
            raise FleetError(msg)
        os.kill(host.leader(), REBOOT)
    for host in hosts:
        _wait_for_new_boot(host, before[host.name])
    wait_until_ready(Starting(host=host) for host in hosts)


def freeze(folder: FleetDir, names: Sequence[str], *, wanted: bool) -> None:
    """Stop hosts in their tracks, or let them run on."""
    fleet = load(folder)
    for host in [fleet.host(name) for name in names]:
        host.leader()
        host.groups.freeze(wanted=wanted)


def down(folder: FleetDir, names: Sequence[str]) -> None:
    """End and delete hosts; without names the whole fleet, however broken it is."""
    with _locked(folder):
        if names:
            _remove_hosts(load(folder), names)
        else:
            _remove_fleet(folder)


def is_fleet(folder: FleetDir) -> bool:
    """Whether the folder holds a fleet, or what is left of one."""
    return folder.state.exists() or bool(_blocks_of(folder))


def _remove_hosts(fleet: Fleet, names: Sequence[str]) -> None:
    for host in [fleet.host(name) for name in names]:
        host.remove()
        del fleet.hosts[host.name]
    fleet.save()
    fleet.write_names()


def _remove_fleet(folder: FleetDir) -> None:
    blocks = _blocks_of(folder)
    for block in blocks:
        end_block(block)
    _remove_files(folder)
    for block in blocks:
        release(block)


def _blocks_of(folder: FleetDir) -> list[str]:
    blocks = {block for block, owner in registered().items() if owner == folder}
    with suppress(OSError, ValueError, KeyError):
        blocks.add(json.loads(folder.state.read_text())["block"])
    return sorted(blocks)


def _remove_files(folder: FleetDir) -> None:
    if folder.hosts.exists():
        shutil.rmtree(folder.hosts)
    key = folder.identity
    for draft in folder.path.glob(".key-*"):
        shutil.rmtree(draft)
    files = [folder.settings, folder.ssh_config, folder.known_hosts, key]
    files += [key.with_suffix(".pub"), folder.state.with_suffix(".tmp"), folder.state]
    for file in files:
        file.unlink(missing_ok=True)
    with suppress(OSError):  # the folder may hold other things, or be gone
        folder.path.rmdir()


@contextmanager
def _locked(folder: FleetDir) -> Iterator[int]:
    """Hold the fleet's lock; it lies apart from the folder that `down` removes."""
    name = hashlib.sha256(str(folder.path).encode()).hexdigest()[:16]
    file = REGISTRY / "fleets" / f"{name}.lock"
    with locked(file) as lock:
        try:
            yield lock
        finally:
            if not is_fleet(folder):
                file.unlink(missing_ok=True)


def _load_or_create(folder: FleetDir, wanted: Wanted) -> Fleet:
    if folder.state.exists():
        return load(folder)
    with claimed_block(folder, wanted.base) as block:
        folder.path.mkdir(parents=True, exist_ok=True)
        fleet = Fleet(folder=folder, block=block, hosts={})
        fleet.save()
    return fleet


def _refuse_known(fleet: Fleet, names: Sequence[str]) -> None:
    for name in names:
        if name in fleet.hosts:
            msg = (
                f"{name} is in this fleet already: `fleet start {name}` switches it on,"
                f" `fleet down {name}` removes it"
            )
            raise FleetError(msg)


def _new_host(fleet: Fleet, name: str, wanted: Wanted) -> Host:
    taken = {host.address for host in fleet.hosts.values()}
    free = (address(fleet.block, number) for number in HOSTS)
    own = next((one for one in free if one not in taken), None)
    if own is None:
        msg = f"a fleet has at most {len(HOSTS)} hosts"
        raise FleetError(msg)
    fleet.hosts[name] = Host(
        fleet=fleet.folder,
        block=fleet.block,
        name=name,
        address=own,
        debian=wanted.debian,
        user=wanted.user,
        nix_size=wanted.nix_size,
    )
    return fleet.hosts[name]


def _ensure_power(host: Host, lock: int) -> subprocess.Popen[bytes] | None:
    if host.groups.leader() is not None:
        return None
    host.power_off()  # what a crash left
    return host.power_on(lock)


def _wait_for_new_boot(host: Host, before: str) -> None:
    end = time.monotonic() + REBOOT_DEADLINE
    while True:
        # Between two boots there is no PID 1 to ask.
        with suppress(FleetError, OSError):
            if host.boot_id() != before:
                return
        if not host.groups.pids():
            msg = f"{host.name} ended and did not boot again: start it"
            raise FleetError(msg)
        if time.monotonic() > end:
            msg = f"{host.name} did not reboot within {REBOOT_DEADLINE:.0f} s"
            raise FleetError(msg)
        time.sleep(PAUSE)
