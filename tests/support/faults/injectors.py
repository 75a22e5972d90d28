"""
The faults, as small objects: one strikes, and one ends what it did.

``strike`` returns once the harm is done; ``end`` makes the world sound again, as an
administrator or time would. Both may be called in whatever state things are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.support.faults.disk import StateDisk
from tests.support.faults.releases import HOST
from tests.support.rig import Rig
from tests.support.wait import let_pass

UNIT = "reconciler-activation.service"
FILLER = "/nix/filler"
LOCK = "/run/nixos/switch-to-configuration.lock"
# What serves a login of root; the daemon's is the only one.
SESSIONS = "pkill -KILL -f '^sshd: root' || true"


class Fault(Protocol):
    """Something that strikes a rig and can be ended."""

    def strike(self, rig: Rig) -> None:
        """Do the harm."""

    def end(self, rig: Rig) -> None:
        """Make sound what it harmed."""


@dataclass(frozen=True, slots=True)
class ReconcilerKilled:
    """SIGKILL of the daemon; somebody starts it again."""

    def strike(self, rig: Rig) -> None:
        """Kill it."""
        rig.stop_daemon(kill=True)

    def end(self, rig: Rig) -> None:
        """Start it, unless it runs."""
        if rig.daemon is None:
            rig.run_daemon()


@dataclass(frozen=True, slots=True)
class ReconcilerStopped:
    """SIGTERM, as for an update; somebody starts it again."""

    def strike(self, rig: Rig) -> None:
        """Ask it to end; it must do so in good order."""
        assert rig.stop_daemon() == 0

    def end(self, rig: Rig) -> None:
        """Start it."""
        ReconcilerKilled().end(rig)


@dataclass(frozen=True, slots=True)
class SessionsKilled:
    """SIGKILL of the sshd processes that serve our connections."""

    def strike(self, rig: Rig) -> None:
        """Kill them; new ones can be opened."""
        rig.host(HOST).exec("sh", "-c", SESSIONS)

    def end(self, rig: Rig) -> None:
        """Do nothing: it is over."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A host that says nothing for a while; its deadlines pass meanwhile."""

    seconds: float = 2.0

    def strike(self, rig: Rig) -> None:
        """Freeze it for so long."""
        rig.host(HOST).freeze()
        let_pass(self.seconds)

    def end(self, rig: Rig) -> None:
        """Thaw it, if it is frozen."""
        if rig.host(HOST).state == "frozen":
            rig.host(HOST).thaw()


@dataclass(frozen=True, slots=True)
class PowerCut:
    """A host that loses power and is started again."""

    def strike(self, rig: Rig) -> None:
        """Cut it."""
        rig.host(HOST).kill()

    def end(self, rig: Rig) -> None:
        """Switch the host on."""
        if rig.host(HOST).state == "off":
            rig.host(HOST).start()


@dataclass(frozen=True, slots=True)
class GuardianKilled:
    """SIGKILL of the guardian's main process, or of everything of its unit."""

    whom: str = "main"

    def strike(self, rig: Rig) -> None:
        """Kill it, if it is there."""
        rig.host(HOST).exec("sh", "-c", f"{self.command} || true")

    @property
    def command(self) -> str:
        """What does it, on the host."""
        return f"systemctl kill --kill-who={self.whom} -s KILL {UNIT}"

    def end(self, rig: Rig) -> None:
        """Do nothing: it is over."""


@dataclass(frozen=True, slots=True)
class GuardianStopped:
    """Somebody stops the guardian's unit."""

    def strike(self, rig: Rig) -> None:
        """Stop it, if it is there; what it does thereupon takes 90 seconds."""
        rig.host(HOST).exec("sh", "-c", f"systemctl stop --no-block {UNIT} || true")

    def end(self, rig: Rig) -> None:
        """Do nothing: it is over."""


@dataclass(frozen=True, slots=True)
class SomebodySwitches:
    """A person holds NixOS's own lock."""

    def strike(self, rig: Rig) -> None:
        """Take the lock, for at most ten minutes."""
        hold = f"mkdir -p /run/nixos && exec flock -n {LOCK} sleep 600"
        rig.host(HOST).exec(
            *("systemd-run", "--quiet", "--collect", "--unit=person", "sh", "-c", hold)
        )

    def end(self, rig: Rig) -> None:
        """Let go of it."""
        rig.host(HOST).exec("sh", "-c", "systemctl stop person.service || true")


@dataclass(frozen=True, slots=True)
class StoreFillsUp:
    """The host's store is full as soon as a path called *name* begins to arrive."""

    name: str

    def strike(self, rig: Rig) -> None:
        """Lie in wait for it."""
        script = f"until ls -d /nix/store/*-{self.name} 2>&-; do sleep 0.01; done"
        # At once: while as much is written, all of the path may arrive.
        script += f"; mkdir {FILLER}; n=0"
        script += f"; while fallocate -l 8M {FILLER}/$n; do n=$((n + 1)); done"
        script += f"; cat /dev/zero >{FILLER}/rest"
        rig.host(HOST).exec(
            *(
                "systemd-run",
                "--quiet",
                "--collect",
                "--unit=filler",
                "sh",
                "-c",
                script,
            )
        )

    def end(self, rig: Rig) -> None:
        """Make room."""
        script = f"systemctl stop filler.service; rm -rf {FILLER}"
        rig.host(HOST).exec("sh", "-c", script)


@dataclass(frozen=True, slots=True)
class BootFull:
    """A host's /boot has not room for one file more."""

    def strike(self, rig: Rig) -> None:
        """Put one there that is full with what it boots."""
        # Two files: the folder itself and the link.
        script = "was=$(readlink /boot/default)"
        script += " && mount -t tmpfs -o nr_inodes=2 boot /boot"
        script += ' && ln -s "$was" /boot/default'
        rig.host(HOST).exec("sh", "-c", script)

    def end(self, rig: Rig) -> None:
        """Make room: the one of before has it."""
        rig.host(HOST).exec("sh", "-c", "umount /boot || true")


@dataclass(frozen=True, slots=True)
class BootReadOnly:
    """A host's /boot is read-only, as the kernel makes a disk that fails."""

    def strike(self, rig: Rig) -> None:
        """Make it so."""
        script = "mount --bind /boot /boot && mount -o remount,bind,ro /boot"
        rig.host(HOST).exec("sh", "-c", script)

    def end(self, rig: Rig) -> None:
        """Repair it."""
        rig.host(HOST).exec("sh", "-c", "umount /boot || true")


@dataclass(frozen=True, slots=True)
class StateFull:
    """Not a byte is left for the reconciler's state."""

    disk: StateDisk

    def strike(self, rig: Rig) -> None:
        """Fill it."""
        assert rig.state == self.disk.folder
        self.disk.fill()

    def end(self, rig: Rig) -> None:
        """Make room."""
        assert rig.state == self.disk.folder
        self.disk.make_room()


@dataclass(frozen=True, slots=True)
class StateFails:
    """The disk of the reconciler's state turns read-only, as the kernel makes it."""

    disk: StateDisk

    def strike(self, rig: Rig) -> None:
        """Have it fail."""
        assert rig.state == self.disk.folder
        self.disk.fail()

    def end(self, rig: Rig) -> None:
        """Repair it, which takes a daemon that is started anew."""
        rig.stop_daemon(kill=True)
        self.disk.repair()
        rig.run_daemon()


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a daemon that was started with ``clock=PATH``."""

    path: Path

    def set(self, seconds: float) -> None:
        """Set it so many seconds ahead of what is right."""
        new = self.path.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.path)


FAULTS: Mapping[str, Fault] = {
    "the reconciler is killed": ReconcilerKilled(),
    "the reconciler is stopped": ReconcilerStopped(),
    "the SSH sessions are killed": SessionsKilled(),
    "the host freezes": Frozen(),
    "the host freezes for long": Frozen(8.0),
    "the power is cut": PowerCut(),
    "the guardian is killed": GuardianKilled(),
    "the guardian's whole unit is killed": GuardianKilled("all"),
    "the guardian is stopped": GuardianStopped(),
    "somebody else switches": SomebodySwitches(),
}
