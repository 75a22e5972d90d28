"""One host under many names, so that there is nothing to do on any of them."""

from collections.abc import Sequence

from reconciler.model import HostName
from tests.bench.setting import FILE, HOST, HOSTS
from tests.support.rig import Repository, Rig

MANY_CONNECTIONS = """\
  services.openssh.extraConfig = ''
    MaxStartups 500:30:1000
    MaxSessions 100
  '';
"""


def names(count: int) -> tuple[HostName, ...]:
    """Return so many names."""
    return tuple(HostName(f"name{number:02}") for number in range(count))


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
    address = rig.host(HOST).address
    text = rig.settings.read_text()
    lines = [f"  {name}: {{address: {address}, port: 22, user: root}}" for name in more]
    rig.settings.write_text("\n".join([text.rstrip(), *lines, ""]))


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
