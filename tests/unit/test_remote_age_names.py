"""What age calls host keys, against a real implementation of age."""

import base64
import hashlib

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reconciler.desired.recipients import age_recipients
from reconciler.remote.age_names import age_names, bech32
from reconciler.remote.known_hosts import HostKey, public_key


def ssh_line(key: object) -> str:
    """Return the public key as ``.pub`` files have it."""
    public = key.public_key()  # type: ignore[attr-defined]
    return str(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def test_the_key_of_age_is_the_one_that_ssh_to_age_makes() -> None:
    """What is encrypted for it, opens the private key that belongs to it."""
    key = Ed25519PrivateKey.generate()
    (name,) = (
        one for one in age_names([public_key(ssh_line(key))]) if one.startswith("age1")
    )

    closed = pyrage.encrypt(b"content", [pyrage.x25519.Recipient.from_str(name)])

    scalar = hashlib.sha512(key.private_bytes_raw()).digest()[:32]
    identity = bech32("age-secret-key-", scalar).upper()
    opened = pyrage.decrypt(closed, [pyrage.x25519.Identity.from_str(identity)])
    assert opened == b"content"


@pytest.mark.parametrize("armored", [False, True])
@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
def test_files_name_ssh_keys_by_their_tags(kind: str, *, armored: bool) -> None:
    made = Ed25519PrivateKey.generate, lambda: generate_private_key(65537, 2048)
    own, other = (made[kind == "ssh-rsa"]() for _ in range(2))
    lines = [ssh_line(own), ssh_line(other)]
    recipients = [pyrage.ssh.Recipient.from_str(line) for line in lines]
    nobody = pyrage.x25519.Identity.generate().to_public()

    closed = pyrage.encrypt(b"content", [*recipients, nobody], armored=armored)

    named = [age_names([public_key(line)]) for line in lines]
    found = age_recipients(closed)
    assert len(found) == 2
    assert all(names.intersection(found) for names in named)
    stranger = public_key(ssh_line(made[kind == "ssh-rsa"]()))
    assert not age_names([stranger]).intersection(found)


def test_a_key_that_is_no_point_has_no_key_of_age() -> None:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"\xff" * 32

    (name,) = age_names([HostKey(type="ssh-ed25519", blob=blob)])

    tag = base64.b64encode(hashlib.sha256(blob).digest()[:4]).decode().rstrip("=")
    assert name == f"ssh-ed25519 {tag}"
