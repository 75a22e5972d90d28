"""Packages of closures: names, versions, their order, and what differs."""

import json
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model import PackageChange, PackageKind, UnitName
from reconciler.plan import packages

HASH = "0123456789abcdfghijklmnpqrsvwxyz"


def paths(*names: str) -> list[str]:
    return [f"/nix/store/{HASH}-{name}" for name in names]


@pytest.mark.parametrize(
    ("name", "package", "version"),
    [
        ("openssl-3.0.14", "openssl", "3.0.14"),
        ("openssl-3.0.14-bin", "openssl", "3.0.14"),
        ("python3.12-foo-2024-01-01", "python3.12-foo", "2024-01-01"),
        ("linux-6.12.3-modules", "linux", "6.12.3-modules"),
        ("linux-6.12.3", "linux", "6.12.3"),
        ("source", "source", ""),
        ("unit-nginx.service", "unit-nginx.service", ""),
        ("nixos-system-web-24.05pre-git", "nixos-system-web", "24.05pre-git"),
        ("glibc-locales-2.39-52", "glibc-locales", "2.39-52"),
        ("gcc-13.2.0-libgcc", "gcc", "13.2.0"),
        ("perl5.38.2-URI-5.21", "perl5.38.2-URI", "5.21"),
        ("foo-_bar", "foo-_bar", ""),
        ("7zz-24.05", "7zz", "24.05"),
        ("fuse-3.16.2-udev", "fuse", "3.16.2-udev"),
        ("man-db-dev", "man-db", ""),
        ("dev", "dev", ""),
    ],
)
def test_a_store_path_is_split_into_package_and_version(
    name: str, package: str, version: str
) -> None:
    assert packages.split(*paths(name)) == (package, version)


def test_what_changed_came_and_went_is_told_by_name() -> None:
    before = paths("openssl-3.0.13", "curl-8.0", "old-1", "bash-5.2", "linux-6.12.3")
    after = paths("openssl-3.0.14", "curl-7.9", "new-2", "bash-5.2", "linux-6.12.3")

    found = {change.name: change for change in packages.compare(before, after)}

    assert list(found) == ["curl", "new", "old", "openssl"]
    assert found["openssl"] == PackageChange(
        name="openssl",
        kind=PackageKind.UPGRADED,
        before=("3.0.13",),
        after=("3.0.14",),
    )
    kinds = {name: change.kind for name, change in found.items()}
    assert kinds["curl"] is PackageKind.DOWNGRADED
    assert kinds["new"] is PackageKind.ADDED
    assert kinds["old"] is PackageKind.REMOVED


def test_several_versions_of_one_package_are_kept_apart() -> None:
    (change,) = packages.compare(
        paths("llvm-16.0", "llvm-17.0", "llvm-17.0-lib"),
        paths("llvm-17.0", "llvm-18.0"),
    )

    assert (change.before, change.after) == (("16.0", "17.0"), ("17.0", "18.0"))
    assert change.kind is PackageKind.UPGRADED


def test_one_of_two_versions_that_goes_is_no_downgrade_of_the_other() -> None:
    (change,) = packages.compare(paths("a-1", "a-2"), paths("a-2"))

    assert change.kind is PackageKind.UPGRADED


def test_what_was_only_built_anew_is_counted_and_no_change() -> None:
    other = [path.replace(HASH, HASH[::-1]) for path in paths("bash-5.2", "source")]

    assert packages.compare(paths("bash-5.2", "source"), other) == ()
    assert packages.rebuilt(paths("bash-5.2", "source"), other) == 2


def test_units_are_told_for_which_a_package_is_why_they_change() -> None:
    nginx, bot = UnitName("nginx.service"), UnitName("bot.service")
    old, new = paths("openssl-3.0.13", "pcre-1"), paths("openssl-3.0.14", "pcre-1")
    tell = packages.restarting({nginx: (old, new), bot: (old[1:], new[1:])})

    (change,) = packages.compare(old, new, tell)

    assert change.restarts == (nginx,)


def test_the_kernel_is_the_whole_one() -> None:
    assert packages.kernel_of(paths("linux-6.12.3", "linux-6.12.3-modules")) == "6.12.3"
    assert packages.kernel_of(paths("bash-5.2")) == ""


# Nix takes a number of more digits for a word, which nobody means by it.
DIGITS = 9

versions = (
    st.lists(
        st.sampled_from(
            ["1", "2", "10", "01", "pre", "rc", "a", "b", ".", "-", "2024"]
        ),
        max_size=6,
    )
    .map("".join)
    .filter(lambda text: not re.search(rf"[0-9]{{{DIGITS + 1}}}", text))
)


@given(versions, versions)
def test_the_order_is_total_and_turns_round(one: str, other: str) -> None:
    assert packages.order_of(one, other) == -packages.order_of(other, one)
    assert packages.order_of(one, one) == 0


@pytest.mark.nix
@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(versions, versions), min_size=50, max_size=200))
def test_versions_are_ordered_as_nix_orders_them(
    pairs: list[tuple[str, str]],
) -> None:
    text = json.dumps(json.dumps(pairs))
    expression = (
        f"map (p: builtins.compareVersions (builtins.elemAt p 0) (builtins.elemAt p 1))"
        f" (builtins.fromJSON {text})"
    )
    done = subprocess.run(
        ["nix-instantiate", "--eval", "--strict", "--json", "--expr", expression],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert json.loads(done.stdout) == [packages.order_of(*pair) for pair in pairs]
