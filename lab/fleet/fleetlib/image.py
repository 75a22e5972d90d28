"""
The root file system that every host of one Debian release stands on.

It plays the part of the packages of a real NixOS: systemd, sshd, Nix, coreutils.
Built once by mmdebstrap, kept in the cache, and only ever read afterwards.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fleetlib.commands import missing_tool, run, tail_of_file
from fleetlib.errors import FleetError
from fleetlib.locks import locked_once
from fleetlib.places import cache_dir
from fleetlib.sources import CODENAMES, machine_sources

BUILD_DEADLINE = 1800.0
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "nix-bin",
    "git",
    "iproute2",
    "procps",
    "inotify-tools",
    "ca-certificates",
    "python3",
    "sudo",
    "opendoas",
)
ALSO = {13: ("polkitd",)}  # for run0, which systemd has since 256
LEFT_OUT = ("man", "doc", "locale", "info", "lintian")
# Comes with polkitd, and would make each login a session with a manager of its own.
LEFT_OUT_FILES = ("/usr/share/pam-configs/systemd",)

# What a machine with NixOS has and Debian has not.
NIX_CONF = """\
build-users-group =
sandbox = false
substitute = false
require-sigs = false
"""
PAM_RUN0 = """\
account required pam_unix.so
session required pam_loginuid.so
session required pam_unix.so
"""
BOOT_INIT = """\
#!/bin/sh
exec "$(readlink -f /boot/default)/init"
"""
ADDED = {
    "etc/NIXOS": "",
    "etc/nix/nix.conf": NIX_CONF,
    "etc/pam.d/systemd-run0": PAM_RUN0,
    "boot/init": BOOT_INIT,
}
# NixOS makes its units' folder itself; keys, names and package sources are not an
# image's business.
REMOVED = (
    "etc/systemd/system",
    "etc/ssh/ssh_host_*",
    "etc/apt/sources.list*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/machine-id",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "var/lib/dbus/machine-id",
    "var/lib/apt/lists/*",
    "var/cache/apt/*.bin",
    # Debian's answers to hardware, terminals and /etc/fstab, which no host here has:
    # each reload of systemd would run them all, each look would read them.
    "usr/lib/systemd/system-generators/*",
    "usr/lib/systemd/system/getty.target.wants/*",
    *(
        f"usr/lib/systemd/system/*.target.wants/{unit}"
        for unit in (
            "*.automount",
            "*.mount",
            "*.path",
            "*setup.target",
            "kmod-*",
            "systemd-binfmt.*",
            "systemd-firstboot*",
            "systemd-hwdb-*",
            "systemd-initctl.*",
            "systemd-journald-audit.*",
            "systemd-machine-id-commit.*",
            "systemd-modules-load.*",
            "systemd-network-generator.*",
            "systemd-pcr*",
            "systemd-pstore*",
            "systemd-random-seed.*",
            "systemd-repart.*",
            "systemd-sys[ue]*",  # sysusers, sysext
            "systemd-tpm2-*",
            "systemd-udev*",
            "systemd-update-*",
        )
    ),
)


def image(debian: int) -> Path:
    """
    Return the root file system for Debian release *debian*, building it if needed.

    Raises `FleetError` if it cannot be built.
    """
    path = image_path(debian)
    if not path.is_dir():
        with locked_once(path.with_name(f"{path.name}.lock")):
            # Somebody else may have built it while we waited.
            if not path.is_dir():
                _build(path, debian)
    return path


def image_path(debian: int) -> Path:
    """Return where the image of *debian* is, or will be when it is built."""
    return cache_dir() / "images" / f"debian-{debian}-{_recipe_hash(debian)}"


def _recipe_hash(debian: int) -> str:
    parts = (_packages(debian), LEFT_OUT, LEFT_OUT_FILES, ADDED, REMOVED)
    recipe = repr((debian, os.uname().machine, *parts))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _packages(debian: int) -> tuple[str, ...]:
    return (*PACKAGES, *ALSO.get(debian, ()))


def _build(path: Path, debian: int) -> None:
    print(
        f"building the Debian {debian} image (once, about a minute) …", file=sys.stderr
    )
    log = path.with_name(f"{path.name}.log")
    prefix = f"{path.name}.tmp-"
    for half_built in path.parent.glob(f"{prefix}*"):
        shutil.rmtree(half_built)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as scratch:
        root = Path(scratch, "root")
        _mmdebstrap(root, Path(scratch), debian, log)
        _finish(root)
        # The name appears only when everything below it is complete.
        root.rename(path)
    log.unlink()


def _mmdebstrap(root: Path, scratch: Path, debian: int, log: Path) -> None:
    tool, codename = "mmdebstrap", CODENAMES[debian]
    if shutil.which(tool) is None:
        raise missing_tool(tool)
    # With mounts of its own: killed half-way, it leaves those where they are.
    argv = ["unshare", "--mount", "--", tool]
    argv += ["--variant=minbase", f"--include={','.join(_packages(debian))}"]
    left_out = [f"/usr/share/{folder}/*" for folder in LEFT_OUT]
    argv += [f"--dpkgopt=path-exclude={path}" for path in (*left_out, *LEFT_OUT_FILES)]
    argv += [f"--aptopt={_apt_configuration(scratch)}", codename, str(root)]
    for file, text in machine_sources(codename, etc_apt=Path("/etc/apt")).items():
        (scratch / file).write_text(text)
        argv.append(str(scratch / file))
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=BUILD_DEADLINE,
            )
        except FileNotFoundError as error:
            raise missing_tool(argv[0]) from error
        except subprocess.TimeoutExpired as error:
            msg = f"mmdebstrap did not end within {BUILD_DEADLINE:.0f} s; see {log}"
            raise FleetError(msg) from error
    if done.returncode != 0:
        msg = f"mmdebstrap failed; {log} ends with:\n{tail_of_file(log)}"
        raise FleetError(msg)


def _apt_configuration(scratch: Path) -> Path:
    """Return a file with how the machine's apt fetches, such as its proxies."""
    dump = run(["apt-config", "dump"], deadline=30).decode()
    fetching = re.compile(
        r"Acquire::(https?|ftp|Proxy|Retries|Check|Force|Allow)", re.IGNORECASE
    )
    file = scratch / "apt.conf"
    lines = [line for line in dump.splitlines() if fetching.match(line)]
    lines.append('Dir::Etc::netrcparts "/etc/apt/auth.conf.d/";')
    file.write_text("\n".join(lines) + "\n")
    return file


def _finish(root: Path) -> None:
    for pattern in REMOVED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, text in ADDED.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "boot/init").chmod(0o755)
    (root / "nix").mkdir(exist_ok=True)
    root.chmod(0o755)
