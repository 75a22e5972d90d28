"""
One host that stands for many, so that there is nothing to do on any of them.

Each has a key of its own to come by, and by that key the machine id and the boot id of
its own: one machine under several names is left alone.
"""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from reconciler.model import HostName
from tests.bench.setting import FILE, HOST, HOSTS
from tests.support.rig import Repository, Rig

MANY_CONNECTIONS = """\
  services.openssh.extraConfig = ''
    MaxStartups 500:30:1000
    MaxSessions 100
  '';
"""

ENTER = "/run/reconciler-bench-enter"
HOST_BELL = "/run/reconciler-bench-bell"
"""There if bells of names are to beat and never to ring."""
ENTER_SCRIPT = f"""\
#!/bin/sh
# On one machine each would hear what all others do.
case $SSH_ORIGINAL_COMMAND in
*beat=12*)
    if [ -e {HOST_BELL} ]; then
        echo ready
        while sleep 12; do echo; done
        exit
    fi ;;
esac
# As the machine $1, with the boot $2.
printf '%s\\n' "$1" >"/run/reconciler-bench-machine-$1"
printf '%s\\n' "$2" >"/run/reconciler-bench-boot-$1"
export real="$(cat /etc/machine-id)"
exec unshare --mount sh -c '
    for journal in /run/log/journal /var/log/journal; do # by machine
        if [ -d "$journal/$real" ]; then
            mkdir -p "$journal/$1" && mount --bind "$journal/$real" "$journal/$1"
        fi
    done
    mount --bind "/run/reconciler-bench-machine-$1" /etc/machine-id &&
    umount /proc/sys/kernel/random/boot_id && # what nspawn has mounted there
    mount --bind "/run/reconciler-bench-boot-$1" /proc/sys/kernel/random/boot_id &&
    exec sh -c "$SSH_ORIGINAL_COMMAND"
' sh "$1"
"""


def names(count: int) -> tuple[HostName, ...]:
    """Return so many names."""
    return tuple(HostName(f"name{number:03}") for number in range(count))


def settle_names(rig: Rig, more: Sequence[HostName]) -> None:
    """Write into the settings where *more* hosts are, and that folders declare them."""
    # Not by network.nix, which does not name them.
    rig.write_settings(
        repository={
            "url": str(rig.repository.bare),
            "layout": "hosts",
            "secrets": {"common/services/secrets": str(rig.secrets)},
        }
    )
    host, keys = rig.host(HOST), keys_in(rig)
    keys.mkdir(mode=0o700)
    host.exec("tee", ENTER, stdin=ENTER_SCRIPT)
    host.exec("chmod", "755", ENTER)
    public = [_make_key(keys / name, name) for name in more]
    host.exec("tee", "-a", "/root/.ssh/authorized_keys", stdin="\n".join([*public, ""]))
    text = rig.settings.read_text()
    where = f"address: {host.address}, port: 22, user: root"
    lines = [f"  {name}: {{{where}, identity: {keys / name}}}" for name in more]
    rig.settings.write_text("\n".join([text.rstrip(), *lines, ""]))


def keys_in(rig: Rig) -> Path:
    """Return the folder with the private key of each name."""
    return rig.folder / "keys"


def _make_key(path: Path, name: HostName) -> str:
    """Write a private key; return what lets it in as the machine of that name."""
    key = Ed25519PrivateKey.generate()
    form = (Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with open(
        path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)
    ) as out:
        out.write(key.private_bytes(*form))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    machine, boot = uuid.uuid5(uuid.NAMESPACE_DNS, name).hex, uuid.uuid4()
    return f'command="{ENTER} {machine} {boot}" {public.decode()}'


def allow_connections(repository: Repository) -> None:
    """Let the sshd behind the names take as many connections at once as there are."""
    path = repository.work / FILE
    new = f"{MANY_CONNECTIONS}\n  boot.loader"
    path.write_text(path.read_text().replace("  boot.loader", new, 1))


def change_all(repository: Repository, text: str) -> None:
    """Put a file with *text* on every host, so that each is to be deployed to."""
    for name in HOSTS:
        path = repository.work / "hosts" / name / "configuration.nix"
        line = f'environment.etc.bench.text = "{text}";'
        old = "  system.stateVersion"
        path.write_text(path.read_text().replace(old, f"  {line}\n{old}", 1))


def declare(repository: Repository, more: Sequence[HostName]) -> None:
    """Give each of *more* hosts the very configuration of the host behind it."""
    for name in more:
        folder = repository.work / "hosts" / name
        folder.mkdir()
        (folder / "configuration.nix").write_text(
            f"import ../{HOST}/configuration.nix\n"
        )
