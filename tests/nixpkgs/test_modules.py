"""
The module system, case by case, and the same cases with the real library.

The cases lie in `modules_values.nix` and `modules_errors.nix`. With
REAL_NIXPKGS_LIB=/path/to/nixpkgs/lib each of them is also run with that library, and
must give the same value, or fail with the same words.
"""

import os
import re
from pathlib import Path

import pytest

from tests.nixpkgs.conftest import HERE, NIXPKGS, Nix

pytestmark = pytest.mark.nix

OUR_LIB = NIXPKGS / "lib"
REAL_LIB = os.environ.get("REAL_NIXPKGS_LIB")

real_lib = pytest.mark.skipif(
    REAL_LIB is None, reason="REAL_NIXPKGS_LIB names no library to compare with"
)

ERRORS = {
    "wrongType": """
        A definition for option `services.web.port' is not of type `signed integer'.
        Definition values:
        - In `/hosts/file1.nix': "http"
    """,
    "wrongTypeInOneOfTwoFiles": """
        A definition for option `services.web.port' is not of type `signed integer'.
        Definition values:
        - In `/hosts/file2.nix': { a = 1; }
    """,
    "wrongElement": """
        A definition for option `services.web.port."[definition 1-entry 2]"' is not of
        type `signed integer'. Definition values:
        - In `/hosts/file2.nix': "three"
    """,
    "wrongMember": """
        A definition for option `services.web.port.tls' is not of type `boolean'.
        Definition values:
        - In `/hosts/file1.nix': "yes"
    """,
    "tooBig": """
        A definition for option `services.web.port' is not of type `16 bit unsigned
        integer; between 0 and 65535 (both inclusive)'. Definition values:
        - In `/hosts/file1.nix': 70000
    """,
    "noMember": """
        A definition for option `services.web.port' is not of type `one of "http",
        "https"'. Definition values:
        - In `/hosts/file1.nix': "gopher"
    """,
    "conflict": """
        The option `services.web.port' has conflicting definition values:
        - In `/hosts/file2.nix': 81
        - In `/hosts/file1.nix': 80
        Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any
        of these definitions.
    """,
    "definedTwice": """
        The option `services.web.port' is defined multiple times while it's expected to
        be unique. Definition values:
        - In `/hosts/file2.nix': 80
        - In `/hosts/file1.nix': 80
        Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any
        of these definitions.
    """,
    "notDefined": """
        The option `services.web.port' was accessed but has no value defined. Try
        setting the option.
    """,
    "readOnly": """
        The option `fixed' is read-only, but it's set multiple times. Definition values:
        - In `/modules/web.nix': 1
        - In `/hosts/a.nix': 2
    """,
    "noSuchOption": """
        The option `services.wob' does not exist. Definition values:
        - In `/hosts/a.nix': { enable = true; }
        Did you mean `services.web'?
    """,
    "misspelled": """
        The option `services.web.enabel' does not exist. Definition values:
        - In `/hosts/a.nix': true
        Did you mean `services.web.enable' or `services.web.port'?
    """,
    "inSubmodule": """
        A definition for option `disks.sda.size' is not of type `signed integer'.
        Definition values:
        - In `/hosts/a.nix': "big"
    """,
    "noSuchOptionInSubmodule": """
        The option `disks.sda.sise' does not exist. Definition values:
        - In `/hosts/a.nix': 1
        Did you mean `disks.sda.size'?
    """,
    "declaredTwice": """
        The option `a' in `/modules/a.nix' is already declared in `/modules/b.nix'.
    """,
}

# Where the real library says more than ours, and ours is the beginning of it.
SHORTER_HERE = {"typeInPlaceOfOption", "wrongClass"}
# Where the message has the place in the library in it, or another reason.
OTHER_WORDS = {"missingArgument", "notEither"}


def case_names(file: str) -> list[str]:
    """Return the names of a file's cases: they stand two columns in."""
    text = (HERE / file).read_text()
    return re.findall(r"^  (\w+) =", text.split("\nin\n", 1)[1], re.MULTILINE)


ERROR_NAMES = case_names("modules_errors.nix")


def cases(lib: str | Path, field: str) -> str:
    """Return an expression for one field of every case, with a library."""
    file = HERE / "modules_values.nix"
    return (
        f"builtins.mapAttrs (_: c: c.{field}) (import {file} {{ lib = import {lib}; }})"
    )


def failing(lib: str | Path, name: str) -> str:
    """Return an expression for one of the cases that must fail."""
    return f"(import {HERE / 'modules_errors.nix'} {{ lib = import {lib}; }}).{name}"


def words(text: str) -> list[str]:
    """Return the words of a message, however its lines are broken."""
    return text.split()


def test_every_case_has_the_value_it_must_have(nix: Nix) -> None:
    values = nix.value(cases(OUR_LIB, "expr"))
    expected = nix.value(cases(OUR_LIB, "expected"))
    assert isinstance(values, dict)
    assert isinstance(expected, dict)

    known = {name: value for name, value in expected.items() if value is not None}

    assert len(known) > 40
    assert {name: values[name] for name in known} == known


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_names_the_option_and_the_files(nix: Nix, name: str) -> None:
    assert words(nix.error(failing(OUR_LIB, name))) == words(ERRORS[name])


@pytest.mark.parametrize("name", sorted(set(ERROR_NAMES) - set(ERRORS)))
def test_every_other_wrong_module_fails(nix: Nix, name: str) -> None:
    assert nix.error(failing(OUR_LIB, name))


@real_lib
def test_values_are_those_of_the_real_library(nix: Nix) -> None:
    assert REAL_LIB is not None
    ours = nix.value(cases(OUR_LIB, "expr"))

    assert ours == nix.value(cases(REAL_LIB, "expr"))


@real_lib
@pytest.mark.parametrize("name", sorted(set(ERROR_NAMES) - OTHER_WORDS))
def test_errors_are_those_of_the_real_library(nix: Nix, name: str) -> None:
    assert REAL_LIB is not None
    ours = words(nix.error(failing(OUR_LIB, name)))
    real = words(nix.error(failing(REAL_LIB, name)))

    assert ours == (real[: len(ours)] if name in SHORTER_HERE else real)
