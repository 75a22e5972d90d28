"""One host: its folder, its disk, its start and its end."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fleetlib.cgroups import HostGroups, groups_of_block
from fleetlib.commands import missing_tool, run
from fleetlib.errors import FleetError
from fleetlib.places import FleetDir

SUPERVISE = Path(__file__).with_name("supervise.sh")
PATH_INSIDE = "/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SSHD_KEY = "etc/ssh/ssh_host_ed25519_key"
DISK_SIZE = "8G"  # sparse: takes what the host writes
PROPAGATE = Path("/run/systemd/nspawn/propagate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host of the fleet in *fleet*, running or not."""

    fleet: FleetDir
    block: str
    name: str
    address: str
    debian: int
    user: str
    nix_size: str | None

    @property
    def folder(self) -> Path:
        """The host's own folder."""
        return self.fleet.host(self.name)

    @property
    def groups(self) -> HostGroups:
        """The host's control groups."""
        return HostGroups(block=self.block, name=self.name)

    @property
    def machine(self) -> str:
        """A name that no other host of this machine has, of any fleet."""
        return "fleet-" + self.address.removeprefix("127.").replace(".", "-")

    @property
    def state(self) -> str:
        """``running``, ``frozen`` or ``off``."""
        if self.groups.leader() is None:
            return "off"
        return "frozen" if self.groups.frozen else "running"

    def leader(self) -> int:
        """Return the process that is PID 1 inside; raises `FleetError` if off."""
        leader = self.groups.leader()
        if leader is None:
            msg = f"{self.name} is off: `fleet start {self.name}` switches it on"
            raise FleetError(msg)
        return leader

    def boot_id(self) -> str:
        """Return the kernel's id of this boot, as the host sees it."""
        path = f"/proc/{self.leader()}/root/proc/sys/kernel/random/boot_id"
        return Path(path).read_text().strip()

    def install(self, image: Path, generation: Path) -> None:
        """Lay out a new host's disk: the image, its first generation, its own part."""
        for part in ("disk/upper", "disk/work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for link, target in (("image", image), ("generation", generation)):
            (self.folder / link).unlink(missing_ok=True)
            (self.folder / link).symlink_to(target)
        self._write("etc/machine-id", f"{secrets.token_hex(16)}\n", 0o444)
        self._make_host_key()
        if self.user == "root":
            self._write("root/.ssh/authorized_keys", self.fleet_key(), 0o600)
            (self._upper / "root").chmod(0o700)
            (self._upper / "root/.ssh").chmod(0o700)
        if _is_on_overlay(self.folder):
            self._make_disk("disk.img", self.folder / "disk", DISK_SIZE)
        if self.nix_size:
            self._make_disk("nix.img", generation / "nix", self.nix_size)

    def public_key(self) -> str:
        """Return the host's public SSH key, as known_hosts wants it."""
        text = (self._upper / f"{SSHD_KEY}.pub").read_text()
        return " ".join(text.split()[:2])

    def fleet_key(self) -> str:
        """Return the fleet's public key, as authorized_keys wants it."""
        return self.fleet.identity.with_suffix(".pub").read_text()

    def write_names(self, addresses: Mapping[str, str]) -> None:
        """Write /etc/hosts with the fleet's *addresses*, also while the host runs."""
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{address} {name}" for name, address in sorted(addresses.items())]
        text = "\n".join(lines) + "\n"
        # The supervisor copies it onto the disk at its next start; the disk of a
        # running host is changed only through the host.
        (self.folder / "hosts").write_text(text)
        leader = self.groups.leader()
        if leader is not None:
            Path(f"/proc/{leader}/root/etc/hosts").write_text(text)

    def power_on(self, lock: int) -> subprocess.Popen[bytes]:
        """
        Start the host's supervisor and return it, at once.

        The supervisor takes over the descriptor *lock*, the fleet's lock, and lets
        it go when `down` can find it.
        """
        self.groups.create()
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "FOLDER": str(self.folder),
            "NAME": self.name,
            "MACHINE": self.machine,
            "SUPERVISOR_GROUPS": " ".join(map(str, self.groups.folders("supervisor"))),
            "HOST_GROUPS": " ".join(map(str, self.groups.folders("host"))),
        }
        argv = ["unshare", "--mount", "--propagation", "private", "sh", str(SUPERVISE)]
        with self.fleet.console(self.name).open("wb") as console:
            try:
                return subprocess.Popen(
                    argv,
                    stdin=lock,
                    stdout=console,
                    stderr=console,
                    env=environment,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise missing_tool(argv[0]) from error

    def power_off(self) -> None:
        """Cut the power: every process of the host ends at once. Returns when gone."""
        self.groups.kill()
        self.groups.remove()
        with suppress(FileNotFoundError):
            (PROPAGATE / self.machine).rmdir()

    def enter_argv(self, command: list[str]) -> list[str]:
        """Return the command line that runs *command* inside the host, without SSH."""
        argv = ["nsenter", f"--target={self.leader()}", "--mount", "--uts", "--ipc"]
        argv += ["--pid", "--cgroup", "--root", "--wd", "env", "--ignore-environment"]
        argv += [f"PATH={PATH_INSIDE}", "HOME=/root", "USER=root", "LANG=C.UTF-8"]
        return [*argv, f"TERM={os.environ.get('TERM', 'dumb')}", *command]

    def ensure_user(self) -> None:
        """Make the user to log in as, once in the host's life, if it is not root."""
        made = self.folder / "user-made"
        if self.user != "root" and not made.exists():
            self._make_user()
            made.touch()

    def _make_user(self) -> None:
        """Make a user who may become root and has the fleet's key."""
        script = r"""
            set -eu
            # "*" is no password; "!", useradd's default, would lock keys out as well.
            id "$1" >/dev/null 2>&1 ||
                useradd --create-home --shell /bin/sh --password "*" "$1"
            home=$(getent passwd "$1" | cut -d: -f6)
            install -d -m 700 -o "$1" "$home/.ssh"
            cat > "$home/.ssh/authorized_keys"
            chown -R "$1" "$home/.ssh"
            # /etc/sudoers belongs to the generation; the user outlives generations.
            umask 227
            printf '%s\n' "@include /etc/sudoers" "$1 ALL=(ALL:ALL) NOPASSWD: ALL" \
                > /etc/sudoers.new
            mv -f /etc/sudoers.new /etc/sudoers.fleet
            umask 022
            echo "Plugin sudoers_policy sudoers.so sudoers_file=/etc/sudoers.fleet" \
                > /etc/sudo.conf
            echo "permit nopass $1" > /etc/doas.conf
            if [ -d /etc/polkit-1/rules.d ]; then # as security.run0 of NixOS has it
                echo "polkit.addRule(function(action, subject) {
                    if (action.id == 'org.freedesktop.systemd1.manage-units' &&
                        subject.user == '$1') return polkit.Result.YES;
                });" > /etc/polkit-1/rules.d/10-fleet.rules
            fi
        """
        argv = self.enter_argv(["sh", "-c", script, "sh", self.user])
        run(argv, deadline=30, stdin=self.fleet_key().encode())

    def remove(self) -> None:
        """End the host and delete its disk."""
        self.power_off()
        if self.folder.exists():
            shutil.rmtree(self.folder)

    @property
    def _upper(self) -> Path:
        return self.folder / "disk/upper"

    def _write(self, path: str, text: str, mode: int) -> None:
        file = self._upper / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def _make_host_key(self) -> None:
        make_key(self._upper / SSHD_KEY, comment=f"root@{self.name}")

    def _make_disk(self, name: str, content: Path, size: str) -> None:
        argv = ["mkfs.ext4", "-q", "-m", "0", "-d", str(content)]
        run([*argv, str(self.folder / name), size], deadline=60)


def _is_on_overlay(folder: Path) -> bool:
    """Whether *folder* is on a file system that no overlay may write to."""
    argv = ["stat", "--file-system", "--format=%T", str(folder)]
    return run(argv, deadline=10).strip() == b"overlayfs"


def end_block(block: str) -> list[str]:
    """
    End every host with an address of *block*; return their names.

    Goes by the control groups: they say what runs when the fleet's state is lost.
    """
    groups = groups_of_block(block)
    for one in groups:
        one.kill()
    for one in groups:
        one.remove()
    # systemd-nspawn, killed, leaves its folders.
    for left in PROPAGATE.glob(f"fleet-{block.replace('.', '-')}-*"):
        with suppress(OSError):
            left.rmdir()
    return [one.name for one in groups]


def make_key(path: Path, *, comment: str) -> None:
    """Make an SSH key pair at *path*, without a passphrase; an existing one stays."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The private key appears last: where it is, the pair is whole.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".key-") as scratch:
        draft = Path(scratch, "key")
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment]
        run([*argv, "-f", str(draft)], deadline=30)
        draft.with_suffix(".pub").rename(path.with_name(f"{path.name}.pub"))
        draft.rename(path)
