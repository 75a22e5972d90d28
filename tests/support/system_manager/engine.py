#!/usr/bin/python3
"""
A stand-in for system-manager-engine, as of release 1.1: what it does to a host.

Beside each step stands the function of the original that it plays. Like that one it
ends well (exit status 0) where a unit or a file fails, and says so in its log alone. It
speaks to systemd through systemctl, knows neither users nor --ephemeral, and writes the
state in its newest format.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

STATE = Path("/var/lib/system-manager/state/system-manager-state.json")
PROFILE = Path("/nix/var/nix/profiles/system-manager-profiles/system-manager")
GCROOT = Path("/nix/var/nix/gcroots/system-manager-current")
JOBS = 30  # seconds that are waited for jobs
BACKUP = ".system-manager-backup"


class FailedError(Exception):
    """What the original ends with, as its exit status 1."""


class PartlyError(Exception):
    """What it only logs: ActivationError::WithPartialResult."""


def log(level: str, text: str) -> None:
    sys.stderr.write(f"[2026-01-01T00:00:00Z {level} engine] {text}\n")


# --- activate.rs ------------------------------------------------------------------


def activate(top: Path) -> None:
    log("INFO", f"Activating system-manager profile: {top}")
    if subprocess.run([top / "bin/preActivationAssertions"], check=False).returncode:
        msg = "Failure in pre-activation assertions."
        raise FailedError(msg)
    old = read_state()
    try:
        tree = activate_etc(top, old["fileTree"])
    except PartlyError as error:
        log("ERROR", f"Error during activation: {error}")
        write_state({**old})
        return
    # Its errors end it before the state is written.
    systemctl("daemon-reload", must=True)
    jobs("restart", ["sysinit-reactivation.target"], must=True)
    created = tmpfiles(tree["files"])
    services = old["services"]
    try:
        services = activate_services(top, old["services"])
    except PartlyError as error:
        log("ERROR", f"Error during activation: {error}")
        services = error.args[1] if len(error.args) > 1 else services
    write_state({"fileTree": tree, "services": services, "version": 1})
    if not created:
        msg = "Error while creating tmpfiles"
        raise FailedError(msg)


def read_state() -> dict:
    if not STATE.is_file():
        STATE.parent.mkdir(parents=True, exist_ok=True)
        tree = {"files": [], "backedUpFiles": []}
        return {"fileTree": tree, "services": {}, "version": 1}
    try:
        state = json.loads(STATE.read_text())
        state["fileTree"]["files"]
    except (ValueError, KeyError) as error:
        msg = f"Cannot parse state: {error}"
        raise FailedError(msg) from error
    return state


def write_state(state: dict) -> None:
    STATE.write_text(json.dumps(state, separators=(",", ":")))


# --- activate/services.rs ---------------------------------------------------------


def activate_services(top: Path, old: dict) -> dict:
    services = json.loads((top / "services/services.json").read_text())
    masked = [name for name, one in services.items() if one["masked"]]
    active = {name: one for name, one in services.items() if not one["masked"]}
    gone = [
        name
        for name, one in old.items()
        if name not in active and says(one["storePath"], "Unit", "X-StopOnRemoval")
    ]
    changed = [
        name
        for name, one in active.items()
        if name in old
        and one["storePath"] != old[name]["storePath"]
        and says(one["storePath"], "Service", "X-RestartIfChanged")
    ]
    try:
        jobs("stop", [*gone, *masked])
        jobs("reload-or-restart", changed, also=[("start", "system-manager.target")])
    except PartlyError as error:
        raise PartlyError(error.args[0], services) from error
    if masked:
        systemctl("mask", "--force", *masked)
        systemctl("daemon-reload")
    return services


def says(file: str | None, section: str, key: str) -> bool:
    """parse_systemd_bool: the last value of a key, true where there is none."""
    try:
        text = Path(file or "").read_text()
    except OSError:
        return True
    found, current = True, ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(.*)\]", line):
            current = match[1]
        elif current == section and line.startswith(f"{key}="):
            found = line.partition("=")[2] in {"1", "yes", "true", "on"}
    return found


def jobs(verb: str, units: list, *, also: list = (), must: bool = False) -> None:
    """for_each_unit and wait_for_jobs: what cannot be asked for is logged, no more."""
    begun = [(verb, unit) for unit in units] + list(also)
    running = []
    for one, unit in begun:
        argv = ["systemctl", one, "--", unit]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        running.append((unit, one, subprocess.Popen(argv, text=True, **quiet)))
    late = False
    for unit, one, process in running:
        try:
            _, said = process.communicate(timeout=JOBS)
        except subprocess.TimeoutExpired:
            process.kill()
            late = True
            continue
        # The job ended, however: only what was no job is an error.
        if "not loaded" in said or "not found" in said:
            log("ERROR", f"Service {unit}: error {one}, please consult the logs")
    if late:
        if must:
            msg = "Timeout waiting for systemd jobs"
            raise FailedError(msg)
        msg = "Timeout waiting for systemd jobs"
        raise PartlyError(msg)


def systemctl(*words: str, must: bool = False) -> None:
    if subprocess.run(["systemctl", *words], check=False).returncode and must:
        msg = f"systemctl {words[0]}"
        raise FailedError(msg)


# --- activate/tmp_files.rs --------------------------------------------------------


def tmpfiles(files: list) -> bool:
    ours = [one for one in files if one.startswith("/etc/tmpfiles.d/")]
    argv = ["systemd-tmpfiles", "--create", "--remove", *ours]
    return subprocess.run(argv, check=False).returncode == 0


# --- activate/etc_files.rs --------------------------------------------------------


def activate_etc(top: Path, old: dict) -> dict:
    try:
        config = json.loads((top / "etcFiles/etcFiles.json").read_text())
    except (OSError, ValueError) as error:
        raise PartlyError(str(error)) from error
    new = {"files": set(), "backedUpFiles": set()}
    for target, source, one in sorted(listed(config), key=lambda each: each[0]):
        try:
            place(target, source, one, old, new)
        except OSError as error:
            log("WARN", f"Can't link/copy {target} to : {error}")
    for path in set(old["files"]) - new["files"]:
        take_away(Path(path))
        restore(Path(path), new, old)
    return {kind: sorted(found) for kind, found in new.items()}


def listed(config: dict) -> Iterator[tuple[Path, Path, dict]]:
    """Yield as list_static_entries does, and then what is copied."""
    entries = {one["target"]: one for one in config["entries"].values()}
    static = Path(config["staticEnv"])
    for folder, _, names in os.walk(static, followlinks=True):
        for name in names:
            file = Path(folder, name)
            target = file.relative_to(static)
            replace = entries.get(str(target), {}).get("replaceExisting", False)
            link = {"mode": "symlink", "replaceExisting": replace}
            yield Path("/etc", target), file.resolve(), link
    for one in entries.values():
        if one["mode"] != "symlink":
            yield Path("/etc", one["target"]), Path(one["source"], one["target"]), one


def place(target: Path, source: Path, one: dict, old: dict, new: dict) -> None:
    """create_etc_file, copy_file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    name = str(target)
    known = name in old["files"] or name in old["backedUpFiles"]
    kind = "backedUpFiles" if known and name not in old["files"] else "files"
    if os.path.lexists(target):
        forced = one["replaceExisting"] or is_dependency(target)
        if known:
            target.unlink()
        elif forced:
            target.rename(f"{target}{BACKUP}")
            kind = "backedUpFiles"
        else:
            log("WARN", f"Unmanaged path already exists in filesystem: {target}")
            return
    if one["mode"] == "symlink":
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)
        target.chmod(int(one["mode"], 8))
        os.chown(target, one["uid"], one["gid"])
    new[kind].add(name)


def is_dependency(target: Path) -> bool:
    """is_inside_systemd_dependency_dir."""
    linked = target.parent.suffix in {".wants", ".requires"}
    return linked and str(target.parent.parent).endswith("systemd/system")


def take_away(path: Path) -> None:
    """delete_paths: a link that leads nowhere does not exist, and stays."""
    if path.exists() and not (path.is_dir() and not path.is_symlink()):
        path.unlink()


def restore(path: Path, new: dict, old: dict) -> None:
    backup = Path(f"{path}{BACKUP}")
    if str(path) in old["backedUpFiles"] and os.path.lexists(backup):
        backup.rename(path)
        new["backedUpFiles"].discard(str(path))


# --- deactivate.rs ----------------------------------------------------------------


def deactivate() -> None:
    old = read_state()
    for path in old["fileTree"]["files"]:
        take_away(Path(path))
    for path in old["fileTree"]["backedUpFiles"]:
        backup = Path(f"{path}{BACKUP}")
        if os.path.lexists(backup):
            backup.replace(path)
    services = old["services"]
    try:
        stoppable = [name for name, one in services.items() if not one["masked"]]
        jobs("stop", [*stoppable, "system-manager.target"] if stoppable else [])
    except PartlyError as error:
        log("ERROR", f"Error during deactivation: {error}")
    if masked := [name for name, one in services.items() if one["masked"]]:
        systemctl("unmask", *masked)
    systemctl("daemon-reload")
    tree = {"files": [], "backedUpFiles": []}
    write_state({"fileTree": tree, "services": {}, "version": 0})


# --- register.rs ------------------------------------------------------------------


def register(top: Path) -> None:
    PROFILE.parent.mkdir(parents=True, exist_ok=True)
    argv = ["nix-env", "--profile", str(PROFILE), "--set", str(top)]
    if subprocess.run(argv, check=False).returncode:
        msg = "Error installing the nix profile, see above for details."
        raise FailedError(msg)
    with tempfile.TemporaryDirectory(dir=GCROOT.parent) as scratch:
        link = Path(scratch, "link")
        link.symlink_to(PROFILE.resolve())
        link.rename(GCROOT)


def act(given: argparse.Namespace) -> None:
    if given.action == "activate":
        activate(given.store_path)
    elif given.action == "deactivate":
        deactivate()
    elif given.action == "register":
        register(given.store_path)
    else:
        msg = f"{given.action} is not played here"
        raise FailedError(msg)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("action")
    parser.add_argument("--store-path", type=Path)
    try:
        act(parser.parse_args())
    except FailedError as error:
        log("ERROR", str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
