"""Our known_hosts file, beside what OpenSSH makes of it."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import StateError
from reconciler.remote.known_hosts import (
    HostKey,
    add,
    entry_name,
    known_keys,
    public_key,
)


def make_key(directory: Path, kind: str = "ed25519") -> HostKey:
    path = directory / f"key-{len(list(directory.iterdir()))}"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path],
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=True,
    )
    name, blob, _ = path.with_suffix(".pub").read_text().split()
    return HostKey(type=name, blob=_decode(blob))


def _decode(text: str) -> bytes:
    return bytes.fromhex(
        subprocess.run(
            ["sh", "-c", "base64 -d | od -An -v -tx1"],
            input=text.encode(),
            capture_output=True,
            timeout=100,
            check=True,
        )
        .stdout.decode()
        .replace("\n", "")
    )


def keygen(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["ssh-keygen", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "known_hosts"


@pytest.fixture
def keys(tmp_path: Path) -> list[HostKey]:
    directory = tmp_path / "keys"
    directory.mkdir()
    return [make_key(directory), make_key(directory, "ecdsa"), make_key(directory)]


def test_a_port_goes_into_the_name_unless_it_is_22() -> None:
    assert entry_name("lufta", 22) == "lufta"
    assert entry_name("10.0.0.7", 2222) == "[10.0.0.7]:2222"
    assert entry_name("::1", 2222) == "[::1]:2222"


def test_no_file_knows_nobody(file: Path) -> None:
    assert known_keys(file, "lufta").accepted == ()


@pytest.mark.parametrize("name", ["lufta", "[127.0.0.1]:2222", "[::1]:2222"])
def test_what_is_added_is_found_by_us_and_by_openssh(
    file: Path, keys: list[HostKey], name: str
) -> None:
    add(file, name, keys[:2], replace=False)

    assert known_keys(file, name).accepted == tuple(keys[:2])
    assert known_keys(file, "keanu").accepted == ()
    found = keygen("-l", "-F", name, "-f", file)
    assert all(key.fingerprint in found for key in keys[:2])


@pytest.mark.parametrize("name", ["lufta", "[127.0.0.1]:2222"])
def test_hashed_names_are_found(file: Path, keys: list[HostKey], name: str) -> None:
    add(file, name, keys[:1], replace=False)
    keygen("-H", "-f", file)

    assert name not in file.read_text()
    assert known_keys(file, name).accepted == (keys[0],)
    assert known_keys(file, "keanu").accepted == ()


def test_names_do_not_depend_on_case(file: Path, keys: list[HostKey]) -> None:
    add(file, "Lufta.Example", keys[:1], replace=False)

    assert known_keys(file, "lufta.example").accepted == (keys[0],)


def test_patterns(file: Path, keys: list[HostKey]) -> None:
    add(file, "*.home,!printer.home,[*.home]:22?2", keys[:1], replace=False)

    assert known_keys(file, "lufta.home").accepted
    assert known_keys(file, "[lufta.home]:2222").accepted
    assert not known_keys(file, "printer.home").accepted
    assert not known_keys(file, "[lufta.home]:2200").accepted


def test_two_keys_of_one_type_are_both_accepted(
    file: Path, keys: list[HostKey]
) -> None:
    add(file, "lufta", [keys[0]], replace=False)
    add(file, "lufta", [keys[2]], replace=False)

    assert known_keys(file, "lufta").accepted == (keys[0], keys[2])


def test_a_revoked_key_is_not_accepted(file: Path, keys: list[HostKey]) -> None:
    add(file, "lufta", keys[:1], replace=False)
    line = file.read_text()
    file.write_text(f"{line}@revoked * {line.split(' ', 1)[1]}")

    known = known_keys(file, "lufta")

    assert known.accepted == ()
    assert known.revoked == (keys[0],)


def test_certificate_authorities_are_no_host_keys(
    file: Path, keys: list[HostKey]
) -> None:
    add(file, "lufta", keys[:1], replace=False)
    file.write_text(f"@cert-authority {file.read_text()}")

    assert known_keys(file, "lufta").accepted == ()


def test_replacing_drops_the_old_keys_and_nothing_else(
    file: Path, keys: list[HostKey]
) -> None:
    add(file, "lufta,keanu", keys[:1], replace=False)
    add(file, "chrysalis", keys[:1], replace=False)
    file.write_text(f"# by hand\n{file.read_text()}not a line\n")

    add(file, "lufta", [keys[2]], replace=True)

    assert known_keys(file, "lufta").accepted == (keys[2],)
    assert known_keys(file, "keanu").accepted == (keys[0],)
    assert known_keys(file, "chrysalis").accepted == (keys[0],)
    assert file.read_text().startswith("# by hand\n")
    assert "not a line\n" in file.read_text()


@pytest.mark.parametrize(
    "line", ["lufta", "lufta ssh-ed25519", "lufta ssh-ed25519 !!!", "|1|x ssh-rsa AAAA"]
)
def test_lines_that_nobody_can_read_are_passed_over(file: Path, line: str) -> None:
    file.parent.mkdir()
    file.write_text(f"{line}\n")

    assert known_keys(file, "lufta").accepted == ()


def test_the_fingerprint_is_that_of_ssh_keygen(file: Path, keys: list[HostKey]) -> None:
    add(file, "lufta", keys[:1], replace=False)

    assert keys[0].fingerprint in keygen("-l", "-f", file)


def test_nothing_is_left_beside_the_file(file: Path, keys: list[HostKey]) -> None:
    add(file, "lufta", keys, replace=False)

    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_an_error(
    tmp_path: Path, keys: list[HostKey]
) -> None:
    (tmp_path / "no-directory").write_text("")

    with pytest.raises(StateError, match="no-directory/known_hosts"):
        add(tmp_path / "no-directory" / "known_hosts", "x", keys, replace=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 not base64",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4T",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no public key"):
        public_key(text)


def test_a_public_key_is_read_with_its_comment() -> None:
    text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4T"

    assert public_key(f" {text} root@lufta\n") == public_key(text)
    assert public_key(text).type == "ssh-ed25519"
