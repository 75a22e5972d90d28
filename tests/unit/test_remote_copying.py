"""What is run to copy a system, and what is told when that fails."""

from urllib.parse import unquote

import pytest

from reconciler.errors import CommandError
from reconciler.model import StorePath, SystemKind, Target
from reconciler.remote.copying import copy_argv, reason

TOPLEVEL = StorePath("/nix/store/0b9x-nixos-system-keanu")
COPYING = "copying 1 paths...\ncopying path '/nix/store/a' to 'ssh://root@keanu'...\n"


@pytest.mark.parametrize("substitute", [False, True])
def test_root_copies_as_ever(*, substitute: bool) -> None:
    argv = copy_argv(TOPLEVEL, Target(address="192.0.2.7"), substitute=substitute)

    assert argv[0] == "nix-copy-closure"
    assert argv[-3:] == ["--to", "root@192.0.2.7", TOPLEVEL]
    assert ("--use-substitutes" in argv) is substitute


@pytest.mark.parametrize("substitute", [False, True])
def test_the_far_side_of_another_user_runs_as_root(*, substitute: bool) -> None:
    target = Target(address="keanu", user="deploy", escalation=("doas", "-n"))

    argv = copy_argv(TOPLEVEL, target, substitute=substitute)

    assert "ssh://deploy@keanu?remote-program=doas%20-n%20nix-store" in argv
    assert "--no-check-sigs" in argv
    assert ("--substitute-on-destination" in argv) is substitute


@pytest.mark.parametrize("user", ["root", "ubuntu"])
def test_nix_is_found_where_its_installer_puts_it_on_other_distributions(
    user: str,
) -> None:
    """Neither a command over SSH nor sudo looks there by itself."""
    target = Target(address="edge", user=user)
    kind = SystemKind.SYSTEM_MANAGER

    argv = copy_argv(TOPLEVEL, target, substitute=False, kind=kind)

    (_, _, program) = argv[-2].partition("?remote-program=")
    words = unquote(program).split()
    assert words[-1] == "nix-store"
    assert "/nix/var/nix/profiles/default/bin" in words[-2]
    assert ("sudo" in words) is (user != "root")
    assert "--no-check-sigs" in argv


@pytest.mark.parametrize("kind", ["signature by a trusted key", "valid signature"])
def test_where_signatures_are_asked_for_it_says_what_to_do(kind: str) -> None:
    stderr = f"error: cannot add path '{TOPLEVEL}' because it lacks a {kind}\n"
    error = CommandError(["nix"], status=1, stderr=stderr)

    told = reason(error)

    assert f"lacks a {kind}" in told
    assert "nix.signing_key" in told
    assert "trusted-public-keys" in told


def test_a_derivation_is_copied_itself_and_not_what_it_builds() -> None:
    derivation = StorePath(f"{TOPLEVEL}.drv")
    other = Target(address="keanu", user="deploy")

    of_root = copy_argv(derivation, Target(address="keanu"), substitute=False)
    of_other = copy_argv(derivation, other, substitute=False)

    assert of_root == ["nix-copy-closure", "--to", "root@keanu", derivation]
    assert "--derivation" in of_other
    assert "--derivation" not in copy_argv(TOPLEVEL, other, substitute=False)


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        (
            (
                f"{COPYING}error: writing to file: No space left on device\n"
                "error: writing to file: Broken pipe\n"
            ),
            "writing to file: No space left on device; writing to file: Broken pipe",
        ),
        (
            (
                "ssh: connect to host keanu port 22: Connection refused\n"
                "error: cannot connect to 'root@keanu'\n"
            ),
            (
                "ssh: connect to host keanu port 22: Connection refused;"
                " cannot connect to 'root@keanu'"
            ),
        ),
        (COPYING, "exit status 1"),
        ("error: again\nerror: again\n", "again"),
    ],
)
def test_every_word_of_the_failure_is_told_and_no_other(stderr: str, told: str) -> None:
    error = CommandError(["nix-copy-closure"], status=1, stderr=stderr)

    assert reason(error) == told
