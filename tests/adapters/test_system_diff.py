"""What another system brings, of real store paths."""

import dataclasses
import json
import os
import subprocess

import pytest

from reconciler.attempt.preview import Preview, preview
from reconciler.attempt.system_diff import UnknownSystemPathError, difference
from reconciler.errors import FactError
from reconciler.model import HostName, PackageKind, StorePath, SystemParts, UnitName
from reconciler.observed import etc_files, etc_texts, system
from tests.adapters.desired_nix import OFFLINE
from tests.unit.plan.samples import desired, observed

pytestmark = pytest.mark.nix

GONE = StorePath("/nix/store/00000000000000000000000000000000-nixos-system-gone-1")

SYSTEMS = """
let
  made = name: text: derivation {
    inherit name text;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "printf '%s' \\"$text\\" > $out" ];
  };
  unit = package: derivation {
    name = "unit-nginx.service";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-c" "mkdir $out; echo ExecStart=${package} > $out/nginx.service" ];
  };
  kernelFile = nginx: made "kernel-${nginx.text}" "vmlinuz";
  system = packages: nginx: derivation {
    name = "nixos-system-web-24.05";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    inherit packages;
    secret = builtins.getEnv "SECRET";
    args = [ "-c" ''
      mkdir -p $out/etc/systemd/system
      ln -s ${unit nginx}/nginx.service $out/etc/systemd/system/nginx.service
      echo "$packages" > $out/packages
      ln -s ${kernelFile nginx} $out/kernel
      mkdir $out/etc/systemd/system/multi-user.target.wants $out/etc/app
      ln -s ../nginx.service $out/etc/systemd/system/multi-user.target.wants/
      ln -s ${made "app.conf" "port=${nginx.text}"} $out/etc/app/app.conf
      ln -s ${made "same.conf" "same"} $out/etc/app/same.conf
      ln -s "$secret" $out/etc/app/secret
    '' ];
  };
  bash = made "bash-5.2" "x";
  kernel = version: made "linux-${version}" "vmlinuz";
in {
  old = system
    [ bash (kernel "6.6.1") (made "curl-8.0" "a") ]
    (made "openssl-3.0.13" "a");
  new = system
    [ bash (kernel "6.6.2") (made "jq-1.7" "b") ]
    (made "openssl-3.0.14" "bcd");
}
"""


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> tuple[StorePath, StorePath]:
    """Build two systems that differ in some packages."""
    file = tmp_path_factory.mktemp("systems") / "systems.nix"
    file.write_text(SYSTEMS)
    options = [w for k, v in OFFLINE.items() for w in ("--option", k, v)]
    argv = ["nix-build", "--no-out-link", str(file), "-A", "old", "-A", "new", *options]
    secret = file.with_name("secret")
    secret.write_text("hidden")
    done = subprocess.run(
        argv,
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "SECRET": str(secret)},
    )
    old, new = done.stdout.split()
    return StorePath(old), StorePath(new)


def test_packages_sizes_kernel_and_restarts_are_told(
    systems: tuple[StorePath, StorePath],
) -> None:
    found = difference(*systems, None)

    kinds = {change.name: change.kind for change in found.packages}
    assert kinds == {
        "curl": PackageKind.REMOVED,
        "jq": PackageKind.ADDED,
        "linux": PackageKind.UPGRADED,
        "openssl": PackageKind.UPGRADED,
    }
    restarts = {change.name: change.restarts for change in found.packages}
    assert restarts["openssl"] == (UnitName("nginx.service"),)
    assert restarts["linux"] == ()
    assert found.kernel == ("6.6.1", "6.6.2")
    assert found.rebuilt == 3, "the unit, a file in /etc, and the system itself"
    assert 0 < found.added < found.size_after


def test_sizes_are_those_that_nix_tells(systems: tuple[StorePath, StorePath]) -> None:
    found = system(systems[0])
    argv = ["nix", "--extra-experimental-features", "nix-command", "path-info"]
    done = subprocess.run(
        [*argv, "--json", "-S", systems[0]],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    info = told[0] if isinstance(told, list) else told[systems[0]]

    assert found is not None
    assert found.size == info["closureSize"]


class Host:
    """A host that answers as told, or runs the script in a shell here."""

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    @property
    def host(self) -> HostName:
        """See HostReader."""
        return HostName("web")

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """See HostReader."""
        self.asked.append(what)
        if self.answer is not None:
            return self.answer
        done = subprocess.run(
            ["sh", "-c", script],
            check=True,
            capture_output=True,
            text=True,
            timeout=deadline,
        )
        return done.stdout


def test_the_host_is_asked_for_what_only_it_has(
    systems: tuple[StorePath, StorePath],
) -> None:
    listing = "path {0}\npath /nix/store/{1}-curl-7.0\nsize 10\nsize 20\nend\n"
    host = Host(listing.format(GONE, "1" * 32))

    found = difference(GONE, systems[1], host)

    (curl,) = (change for change in found.packages if change.name == "curl")
    assert (curl.before, found.size_before) == (("7.0",), 30)


def test_what_is_nowhere_is_said_to_be_so(
    systems: tuple[StorePath, StorePath],
) -> None:
    host = Host()

    with pytest.raises(UnknownSystemPathError, match="any more"):
        difference(GONE, systems[1], host)
    with pytest.raises(UnknownSystemPathError, match="not built yet"):
        difference(systems[0], GONE, host)


@pytest.mark.parametrize("answer", ["", "path /nix/store/x\nsize 3\n", "size 3\nend\n"])
def test_an_answer_that_is_cut_off_is_none(answer: str) -> None:
    with pytest.raises(FactError):
        system(GONE, Host(answer))


# --- before anything is done -----------------------------------------------------


def planned(
    systems: tuple[StorePath, StorePath], after: StorePath | None = None
) -> Preview:
    """Return what is told of the second system to a host that has the first."""
    booted = SystemParts(kernel="/nix/store/older/vmlinuz")
    seen = observed(running=systems[0], booted_parts=booted)
    want = dataclasses.replace(desired(), toplevel=after or systems[1])
    found = preview(want, seen, Host(), files=True)
    assert found is not None
    return found


def test_a_plan_tells_packages_reboot_and_texts(
    systems: tuple[StorePath, StorePath],
) -> None:
    found = planned(systems)

    assert found.packages is not None
    assert found.reboot == ("kernel",)
    told = {one.path: one for one in found.files or ()}
    assert sorted(told) == ["/etc/app/app.conf", "/etc/systemd/system/nginx.service"]
    assert "-port=a" in told["/etc/app/app.conf"].lines
    assert "+port=bcd" in told["/etc/app/app.conf"].lines
    unit = told["/etc/systemd/system/nginx.service"].lines
    assert any(line.startswith("+ExecStart=/nix/store/") for line in unit)


def test_what_lies_outside_of_the_store_is_never_read(
    systems: tuple[StorePath, StorePath],
) -> None:
    files = etc_files(systems[0], None)

    assert files is not None
    assert "app/secret" not in files
    assert "app/same.conf" in files


def test_the_host_is_asked_for_files_that_only_it_has(
    systems: tuple[StorePath, StorePath],
) -> None:
    here = etc_files(systems[0], None)

    assert etc_files(systems[0], Host()) == here
    assert etc_files(GONE, Host()) is None
    file = next(iter((here or {}).values()))
    assert etc_texts([file], Host()) == etc_texts([file], None)


def test_a_system_that_is_not_built_yet_is_said_to_be_so(
    systems: tuple[StorePath, StorePath],
) -> None:
    found = planned(systems, after=GONE)

    assert "reconciler diff lufta --build" in found.problem
    assert found.packages is None


@pytest.mark.parametrize("answer", ["", "text QQ==\n", "text ?\nend\n", "end\n"])
def test_texts_that_are_cut_off_are_none(answer: str) -> None:
    with pytest.raises(FactError):
        etc_texts(["/nix/store/x"], Host(answer))
