"""A search that finds nothing is worth as much as what it would have found."""

import base64
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leaks import (
    CHUNK,
    find_leaks,
    forms_of,
    marked,
    watching_processes,
)
from tests.support.wait import wait_until

SECRET = marked()
READ_A_LINE = "import sys; sys.stdin.readline()"


def in_a_database(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE logs (line TEXT)")
        told = f"failed: {SECRET.decode()}"
        connection.execute("INSERT INTO logs VALUES (?)", [told])
    connection.close()


PLANTED: dict[str, Callable[[Path], object]] = {
    "raw": lambda file: file.write_bytes(b"a log line: " + SECRET + b"\n"),
    "between two reads": lambda file: file.write_bytes(
        b"x" * (CHUNK - len(SECRET) // 2) + SECRET
    ),
    "hexadecimal": lambda file: file.write_text(f"key={SECRET.hex()}"),
    "capital hexadecimal": lambda file: file.write_text(SECRET.hex().upper()),
    "base64": lambda file: file.write_bytes(base64.b64encode(SECRET)),
    "a header": lambda file: file.write_bytes(base64.b64encode(b"bot:" + SECRET)),
    "a token": lambda file: file.write_bytes(
        base64.urlsafe_b64encode(b"{key: " + SECRET + b"}")
    ),
    "a database": in_a_database,
    "a link": lambda file: file.symlink_to(SECRET.decode()),
    "a name": lambda file: (file.parent / SECRET.decode()).touch(),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("where", ["state_dirs", "stores", "logs"])
def test_a_planted_leak_is_found(
    plant: Callable[[Path], object], where: str, tmp_path: Path
) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    assert find_leaks(SECRET, **{where: [tmp_path]}) == []  # type: ignore[arg-type]

    plant(tmp_path / "deep" / "down" / "leak")

    found = find_leaks(SECRET, **{where: [tmp_path]})  # type: ignore[arg-type]
    assert found
    assert all(str(tmp_path / "deep" / "down") in place for place in found)


def test_an_answer_that_holds_it_is_found() -> None:
    texts = {"/metrics": b'info{key="' + SECRET + b'"} 1', "/healthz": b"ok"}

    assert find_leaks(SECRET, texts=texts) == ["/metrics: raw"]


def test_where_it_belongs_it_is_no_leak(tmp_path: Path) -> None:
    for place in ("secrets/bot", "run/keys/bot", "log"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(SECRET)

    exclude = [tmp_path / "secrets", tmp_path / "run/keys/bot"]

    found = find_leaks(SECRET, state_dirs=[tmp_path], exclude=exclude)
    assert found == [f"{tmp_path}/log: raw"]


def test_a_folder_behind_a_link_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "key").write_bytes(SECRET)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")

    assert find_leaks(SECRET, state_dirs=[tmp_path / "here"]) == []


@given(
    st.binary(min_size=12, max_size=40), st.binary(max_size=5), st.binary(max_size=5)
)
def test_it_is_found_in_base64_whatever_stands_around_it(
    secret: bytes, before: bytes, after: bytes
) -> None:
    if len(secret.strip()) < 12:
        return
    texts = {"it": base64.b64encode(before + secret + after)}

    assert find_leaks(secret, texts=texts)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="by accident"):
        forms_of(b"hunter2\n")


@contextlib.contextmanager
def running(arguments: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Run a process for as long as the body lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", READ_A_LINE, *arguments],
        stdin=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as process:
        yield
        process.communicate(b"\n", timeout=100)


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        ([SECRET.decode()], {}, "cmdline: raw"),
        (["--token=" + SECRET.hex()], {}, "cmdline: hex"),
        ([], {"TOKEN": SECRET.decode()}, "environ: raw"),
        ([], {"TOKEN": base64.b64encode(SECRET).decode()}, "environ: base64+0"),
    ],
    ids=["argument", "hexadecimal argument", "environment", "base64 environment"],
)
def test_a_process_that_is_given_it_is_seen(
    arguments: list[str], environment: dict[str, str], told: str
) -> None:
    with watching_processes(SECRET) as sightings, running(arguments, environment):
        wait_until(lambda: told in sightings, 20, f"it to be seen: {told}")

    assert len(sightings) == len(set(sightings))


def test_a_process_that_reads_it_is_not() -> None:
    with watching_processes(SECRET) as sightings:
        subprocess.run(["cat"], input=SECRET, capture_output=True, check=True)

    assert sightings == []


def test_what_was_written_later_is_found_and_what_is_older_is_not_read(
    tmp_path: Path,
) -> None:
    old = tmp_path / "old"
    old.write_bytes(SECRET)
    old_at = old.stat().st_ctime

    assert find_leaks(SECRET, stores=[tmp_path], since=old_at + 1) == []
    assert find_leaks(SECRET, stores=[tmp_path], since=old_at) == [f"{old}: raw"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r-withinbot", False),
        ("0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r-withinbot.drv.chroot", True),
        ("tmp-28748-0", True),
        (".links", True),
    ],
)
def test_what_a_store_has_had_is_not_read_again(
    name: str, tmp_path: Path, *, found: bool
) -> None:
    """Nix changes nothing in it; what it is still writing is read all the way down."""
    deep = tmp_path / "nix" / "store" / name / "deep"
    deep.mkdir(parents=True)
    began = deep.stat().st_ctime
    later = deep / "later"
    while not later.exists() or later.stat().st_ctime <= began:
        later.write_bytes(SECRET)

    leaks = find_leaks(SECRET, stores=[tmp_path], since=later.stat().st_ctime)

    assert leaks == ([f"{later}: raw"] if found else [])


def test_what_comes_to_a_store_is_read(tmp_path: Path) -> None:
    began = tmp_path.stat().st_ctime
    path = tmp_path / "nix/store/0a1b2c3d4f5g6h7i8j9k0l1m2n3p4q5r-withinbot/etc"
    path.mkdir(parents=True)
    (path / "token").write_bytes(SECRET)

    leaks = find_leaks(SECRET, stores=[tmp_path], since=began)

    assert leaks == [f"{path}/token: raw"]
