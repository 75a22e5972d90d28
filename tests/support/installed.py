"""
The reconciler installed on a host of a fleet, as docs/install.md has it.

The wheel is built of this checkout, so that what is missing in it is missed here; the
libraries are those of the environment that runs the tests. The host brings Python, Nix,
git and OpenSSH.
"""

import functools
import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.fleet import Fleet, FleetHost
from tests.support.rig import NIXPKGS, ROOT
from tests.support.wait import patience

# Paths on the host, from its root. /etc/systemd/system is NixOS's own; on other systems
# the unit could lie there as well.
PREFIX = "opt/reconciler"
UNITS = "usr/local/lib/systemd/system"
STATE = "var/lib/reconciler"
REPOSITORY = "srv/git/nixos-configs.git"
KEY = "etc/reconciler-keys/id_ed25519"
DEPLOY = ROOT / "deploy"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"{PREFIX}/lib/{PYTHON}/site-packages"
DEBIAN = {"python3.11": 12, "python3.13": 13}
"""The release of Debian that has a Python, by its name."""

_START = f"""\
#!/{PREFIX}/bin/python3
import sys
from reconciler.__main__ import main
sys.exit(main())
"""
# What is read of a package, and not needed at run time.
_LEFT_OUT = re.compile(r"(^|/)(tests?|__pycache__)/|\.pyc$|\.pyi$|\.\./")


def install(host: FleetHost, wheel: Path) -> None:
    """Put the program, its unit and the stand-in for nixpkgs on *host*."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            _add_program(tar, wheel)
            _add_units(tar)
            tar.add(NIXPKGS, "srv/nixpkgs")
        put(host, buffer.getvalue())
    host.exec("systemd-sysusers")
    host.exec("systemd-tmpfiles", "--create", "reconciler.conf")
    host.exec("systemctl", "daemon-reload")
    host.exec("systemctl", "start", "nix-daemon.socket")


def configure(host: FleetHost, fleet: Fleet, settings: Mapping[str, object]) -> None:
    """
    Give the installed reconciler *settings*, and all that it needs to reach *fleet*.

    The repository is an empty one at `REPOSITORY`, the key a credential of systemd.
    """
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            text = json.dumps(settings).encode()
            _add(tar, "etc/reconciler/reconciler.yaml", text)
            key = (fleet.path / "id_ed25519").read_bytes()
            _add(tar, KEY, key, mode=0o600)
            drop_in = f"[Service]\nLoadCredential=id_ed25519:/{KEY}\n".encode()
            _add(tar, f"{UNITS}/reconciler.service.d/key.conf", drop_in)
            known = (fleet.path / "known_hosts").read_bytes()
            _add(tar, f"{STATE}/known_hosts", known)
            _add(tar, f"{STATE}/secrets/withinbot.env", b"WITHINBOT_TOKEN=first\n")
        put(host, buffer.getvalue())
    host.exec("chown", "-R", "reconciler:", f"/{STATE}")
    host.exec("git", "init", "-q", "--bare", "-b", "main", f"/{REPOSITORY}")
    host.exec("systemctl", "daemon-reload")


def put(host: FleetHost, tar: bytes) -> None:
    """Unpack *tar* at the root of *host*."""
    argv = [*host.exec_argv("tar", "--extract", "--no-same-owner", "--directory=/")]
    subprocess.run(argv, input=tar, check=True, timeout=patience(60))


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout in *folder*; return its path."""
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "reconciler", tree / "reconciler", ignore=no_caches)
    # Nothing is fetched: setuptools is here.
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    argv += ["--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [*argv, f"--wheel-dir={folder}", tree], check=True, timeout=patience(100)
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _add_program(tar: tarfile.TarFile, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            _add(tar, f"{SITE}/{name}", archive.read(name))
    site = Path(sysconfig.get_path("purelib"))
    for file in _libraries():
        tar.add(site / file, f"{SITE}/{file}")
    _add(tar, f"{PREFIX}/pyvenv.cfg", b"home = /usr/bin\n")
    _add(tar, f"{PREFIX}/bin/reconciler", _START.encode(), mode=0o755)
    link = tarfile.TarInfo(f"{PREFIX}/bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, f"/usr/bin/{PYTHON}"
    tar.addfile(link)
    if bwrap := shutil.which("bwrap"):  # the image was made without
        tar.add(bwrap, "usr/bin/bwrap")


def _add_units(tar: tarfile.TarFile) -> None:
    ours = DEPLOY / "systemd"
    tar.add(ours / "reconciler.service", f"{UNITS}/reconciler.service")
    tar.add(ours / "sysusers.conf", "usr/lib/sysusers.d/reconciler.conf")
    tar.add(ours / "tmpfiles.conf", "usr/lib/tmpfiles.d/reconciler.conf")
    for name, text in _NIX_DAEMON.items():
        _add(tar, f"{UNITS}/{name}", text.encode())


# As every Nix with a daemon brings them; Debian has them in another package.
_NIX_DAEMON = {
    "nix-daemon.socket": """\
[Socket]
ListenStream=/nix/var/nix/daemon-socket/socket
""",
    "nix-daemon.service": """\
[Service]
ExecStart=/usr/bin/nix-daemon
""",
}


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Return the files of everything that the program needs, without itself."""
    files = (
        str(file)
        for distribution in _closure("reconciler").values()
        if distribution.name != "reconciler"
        for file in distribution.files or []
    )
    return tuple(sorted({file for file in files if not _LEFT_OUT.search(file)}))


def _closure(name: str) -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    wanted = [name]
    while wanted:
        distribution = metadata.distribution(wanted.pop())
        if distribution.name not in found:
            found[distribution.name] = distribution
            wanted.extend(_requirements(distribution))
    return found


def _requirements(distribution: metadata.Distribution) -> Iterator[str]:
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
