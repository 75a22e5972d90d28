"""
What Nix says when it fails.

``stderr/<version>/`` holds what Nix 2.8 and 2.26 printed for the same expressions, with
and without ``--show-trace``; ``/checkout`` is the repository, ``/nixpkgs`` is not.
"""

import json
from pathlib import Path

import pytest

from reconciler.desired import messages
from reconciler.desired.failures import Subject, explained
from reconciler.desired.reading import Reading
from reconciler.errors import (
    CommandError,
    CommandTimeoutError,
    EvaluationError,
    FetchError,
)
from reconciler.model import HostName

RECORDED = Path(__file__).parent / "stderr"
CHECKOUT = Path("/checkout")
VERSIONS = ("2.8", "2.26")


def recorded(version: str, case: str) -> str:
    return (RECORDED / version / f"{case}.txt").read_text()


def explain(
    stderr: str,
    *,
    again: str = "",
    status: int = 1,
    copy: str = "",
    lock: Path | None = None,
) -> CommandError | EvaluationError:
    error = CommandError(("nix-instantiate",), status=status, stderr=stderr)
    reading = Reading(checkout=CHECKOUT, copy=copy, lock=lock)
    subject = Subject(reading=reading, host=HostName("keanu"))
    return explained(error, subject, again=lambda: again)


def evaluation(version: str, case: str) -> EvaluationError:
    found = explain(recorded(version, case), again=recorded(version, f"{case}-trace"))
    assert isinstance(found, EvaluationError)
    assert found.host == "keanu"
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "said", "line"),
    [
        ("syntax", "syntax error, unexpected ';'", 2),
        ("undefined", "undefined variable 'nosuch'", 2),
        ("attribute", "attribute 'missing' missing", 2),
        ("recursion", "infinite recursion encountered", 1),
        ("throw", "this host\nis retired", 2),
        ("abort", "evaluation aborted", 2),
        (
            "assertions",
            "Failed assertions:\n- withinbot needs a domain\n- so does keanu",
            2,
        ),
        ("missing-file", "hosts/a/gone.nix", 2),
        ("traced", "this one", 2),
        ("argument", "called without required argument 'domain'", 2),
        ("search-path", "set nix.path in the settings", 2),
        ("option", "The option `services.withinbt' does not exist", 2),
    ],
)
def test_the_error_and_its_place_are_named(
    version: str, case: str, said: str, line: int
) -> None:
    found = evaluation(version, case)

    assert said in str(found)
    assert f"at hosts/a/{case}.nix:{line}" in str(found)
    assert (found.file, found.line) == (f"hosts/a/{case}.nix", line)


@pytest.mark.parametrize("version", VERSIONS)
def test_adding_a_string_to_a_number_is_explained(version: str) -> None:
    found = evaluation(version, "type")

    assert "cannot add" in str(found)
    assert (found.file, found.line) == ("hosts/a/type.nix", 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stack_overflow_is_named(version: str) -> None:
    assert "stack overflow" in str(evaluation(version, "stack"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", sorted((RECORDED / "2.8").glob("*.txt")))
def test_no_source_and_no_trace_reaches_a_message(version: str, path: Path) -> None:
    message = messages.diagnose(recorded(version, path.stem)).message

    assert "|" not in message
    assert "…" not in message
    assert "show-trace" not in message
    assert not message.startswith("error")


def test_a_trace_that_says_error_is_not_the_error() -> None:
    assert str(evaluation("2.8", "traced")).startswith("this one")


def test_paths_outside_of_the_checkout_stay_whole() -> None:
    found = explain("error: undefined variable 'x'\n\n       at /nixpkgs/a.nix:1:2:\n")

    assert isinstance(found, EvaluationError)
    assert found.file is None
    assert str(found) == "undefined variable 'x'"


def test_the_second_run_is_spared_where_the_first_names_the_place() -> None:
    error = CommandError(
        ("nix-instantiate",), status=1, stderr=recorded("2.8", "undefined")
    )

    def again() -> str:
        pytest.fail("evaluated again")

    explained(error, Subject(reading=Reading(checkout=CHECKOUT)), again=again)


def test_colours_are_left_out() -> None:
    found = explain("\x1b[31;1merror:\x1b[0m undefined variable '\x1b[35;1mx\x1b[0m'")

    assert str(found) == "undefined variable 'x'"


def test_a_very_long_message_is_cut_and_keeps_its_beginning() -> None:
    found = explain("error: first " + "x" * 100_000)

    assert str(found).startswith("first ")
    assert len(str(found)) < 3000


@pytest.mark.parametrize("stderr", ["", "\n", "Killed", "error:", "error:\n"])
def test_saying_nothing_is_survived(stderr: str) -> None:
    assert isinstance(explain(stderr), EvaluationError)


@pytest.mark.parametrize(
    "said",
    [
        "writing to file: No space left on device",
        "SQLite database '/nix/var/nix/db/db.sqlite' is busy: database is busy",
        "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': refused",
        "unable to download 'https://example.org/x.tar.gz': timed out",
        "program 'git' failed with exit code 128",
        "hg failed with exit code 1",
        "opening lock file '/nix/x': Read-only file system",
    ],
)
def test_trouble_of_this_machine_is_temporary(said: str) -> None:
    assert isinstance(explain(f"error: {said}"), CommandError)


GIT_TELLS = """\
ssh: connect to host git.example.org port 22: Connection refused
fatal: Could not read from remote repository.
"""


@pytest.mark.parametrize(
    "stderr",
    [  # Nix 2.8 does not say of which, 2.26 does
        f"{GIT_TELLS}error: program 'git' failed with exit code 128",
        f"{GIT_TELLS}error: Cannot find Git revision '{'a' * 40}' in ref 'main'",
        f"{GIT_TELLS}error: resolving Git reference 'x': revspec 'x' not found",
    ],
)
def test_what_cannot_be_fetched_is_named_as_the_lock_names_it(
    tmp_path: Path, stderr: str
) -> None:
    url = "ssh://u:secret@git.example.org/private"
    nodes = {
        "private": {"locked": {"type": "git", "url": url, "rev": "a" * 40}},
        "public": {"locked": {"type": "github", "owner": "a", "rev": "b" * 40}},
        "root": {"inputs": {"private": "private", "public": "public"}},
    }
    lock = tmp_path / "flake.lock"
    lock.write_text(json.dumps({"nodes": nodes, "version": 7}))

    found = explain(stderr, lock=lock)

    assert isinstance(found, FetchError)
    assert "input private (ssh://…@git.example.org/private) of flake.lock" in str(found)
    assert "Connection refused" in str(found)
    assert "~/.netrc" in str(found)
    assert "secret" not in str(found)
    assert "public" not in str(found)


def test_a_folder_of_another_machine_is_named(tmp_path: Path) -> None:
    locked = {"type": "path", "path": "/home/else/where"}
    lock = tmp_path / "flake.lock"
    lock.write_text(json.dumps({"nodes": {"mine": {"locked": locked}}}))

    found = explain("error: path '//home/else/where' does not exist", lock=lock)

    assert isinstance(found, EvaluationError)
    assert "input mine of flake.lock is a folder of another machine" in str(found)


def test_a_lock_that_cannot_be_read_hides_no_error(tmp_path: Path) -> None:
    lock = tmp_path / "flake.lock"
    lock.write_text("[]")

    assert "unable to download" in str(
        explain("error: unable to download 'https://example.org/x'", lock=lock)
    )


def test_only_of_a_network_is_it_said_how_networks_are_called() -> None:
    said = "error: function 'outputs' called without required argument 'systems'"

    assert "network" not in str(explain(said))


def test_being_killed_is_temporary() -> None:
    assert isinstance(explain("", status=-9), CommandError)


def test_the_deadline_is_named_with_the_setting_that_moves_it() -> None:
    error = CommandTimeoutError(("nix-instantiate",), seconds=300, stderr="")
    found = explained(
        error,
        Subject(reading=Reading(checkout=CHECKOUT), host=HostName("keanu")),
        again=lambda: "",
    )

    assert isinstance(found, EvaluationError)
    assert found.host == "keanu"
    assert "300 s" in str(found)
    assert "nix.evaluate_timeout" in str(found)


def test_a_second_declaration_of_our_options_is_explained() -> None:
    said = (
        "error: The option `deployment.tags' in `/checkout/a.nix' is already declared "
        "in `/lib/reconciler/deployment.nix'."
    )

    assert "import no other tool's" in str(explain(said))


def test_files_of_the_copy_in_the_store_are_those_of_the_repository() -> None:
    copy = "/nix/store/11111111111111111111111111111111-source"
    said = f"error: undefined variable 'x'\n\n       at {copy}//flake.nix:3:5:\n"

    error = explain(said, copy=copy)

    assert isinstance(error, EvaluationError)
    assert (error.file, error.line) == ("flake.nix", 3)


@pytest.mark.parametrize(
    "said",
    [
        "cannot update flake input 'nixpkgs' in pure mode",
        "cannot update unlocked flake input 'nixpkgs' in pure mode",
    ],
)
def test_a_lock_that_is_missing_or_stale_names_the_input(said: str) -> None:
    told = str(explain(f"error: {said}"))

    assert "'nixpkgs'" in told
    assert "nix flake lock" in told


def test_a_lock_of_a_newer_nix_asks_for_one() -> None:
    said = "lock file '/nix/store/x-source/flake.lock' has unsupported version 9"

    assert "bring a newer Nix" in str(explain(f"error: {said}"))


# --- builds ----------------------------------------------------------------------


def test_what_a_later_nix_says_last_is_the_error() -> None:
    """Those after 2.18 begin with a trace, of which nothing is the message."""
    stderr = (
        "error:\n       … while evaluating the attribute 'value'\n"
        "         at /nixpkgs/lib/modules.nix:219:7:\n          218|     // {\n\n"
        "       (stack trace truncated; use '--show-trace' to show the full trace)\n\n"
        "       error: A definition for option `a' is not of type `string'. Definition"
        " values:\n       - In `/h': 1\n"
    )

    assert messages.error_text(stderr) == (
        "A definition for option `a' is not of type `string'. Definition values:\n"
        "- In `/h': 1"
    )


FAILED = "/nix/store/cr1xg983dkgl94mbbsmpnlyh5migg6y3-unit-withinbot.service.drv"
NEEDED_IT = "/nix/store/xnhsnylypslqc8l822kqpgwxvfw4cn3y-nixos-system-keanu.drv"

BUILDS = {
    "2.8, alone": (
        f"building '{FAILED}'...\nerror: no such module\nline 1\n"
        f"error: builder for '{FAILED}' failed with exit code 3\n"
        f"error: 1 dependencies of derivation '{NEEDED_IT}' failed to build\n"
    ),
    "2.8, with log lines": (
        f"error: builder for '{FAILED}' failed with exit code 3;\n"
        "       last 2 log lines:\n       > compiling\n       > error: no\n"
        f"       For full logs, run 'nix log {FAILED}'.\n"
        f"error: 1 dependencies of derivation '{NEEDED_IT}' failed to build\n"
    ),
    "2.30": (
        f"error: Cannot build '{FAILED}'.\n       Reason: builder failed with exit "
        "code 1.\n       Output paths:\n         /nix/store/x\n"
        f"error: Cannot build '{NEEDED_IT}'.\n       Reason: 1 dependency failed.\n"
    ),
    "2.30, the other way round": (
        f"error: Cannot build '{NEEDED_IT}'.\n       Reason: 1 dependency failed.\n"
        f"       error: Cannot build '{FAILED}'.\n       Reason: builder failed.\n"
    ),
}


@pytest.mark.parametrize("case", BUILDS)
def test_the_derivation_that_failed_is_found(case: str) -> None:
    assert messages.failed_derivation(BUILDS[case]) == FAILED


def test_other_trouble_of_a_build_blames_no_derivation() -> None:
    assert messages.failed_derivation("error: No space left on device") is None


def test_a_derivation_has_a_name() -> None:
    assert messages.derivation_name(FAILED) == "unit-withinbot.service"
