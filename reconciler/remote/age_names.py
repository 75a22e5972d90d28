"""What age and sops call host keys in the files that are encrypted for them."""

import base64
import hashlib
from collections.abc import Iterable, Iterator

from nacl.bindings import crypto_sign_ed25519_pk_to_curve25519
from nacl.exceptions import CryptoError

from reconciler.remote.known_hosts import HostKey

_ED25519 = "ssh-ed25519"
_LENGTH = 32  # bytes of such a key, the last ones of its blob
_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_POLYNOMIAL = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6  # characters


def age_names(keys: Iterable[HostKey]) -> frozenset[str]:
    """
    Return by which names files may say that they are encrypted for one of *keys*.

    For each SSH key its type and tag, as age has them; of an Ed25519 key also the key
    of age that ssh-to-age makes of it, which sops files name.
    """
    return frozenset(name for key in keys for name in _names(key))


def _names(key: HostKey) -> Iterator[str]:
    tag = hashlib.sha256(key.blob).digest()[:4]
    yield f"{key.type} {base64.b64encode(tag).decode().rstrip('=')}"
    if key.type != _ED25519:
        return
    try:
        # From the point of Edwards' curve to that of Montgomery's.
        converted = crypto_sign_ed25519_pk_to_curve25519(key.blob[-_LENGTH:])
    except (CryptoError, ValueError):  # a key that no server can have
        return
    yield bech32("age", converted)


def bech32(prefix: str, content: bytes) -> str:
    """Return *content* in Bech32 (BIP 173), as age writes its public keys."""
    values = _fives(content)
    padded = [*_expanded(prefix), *values, *[0] * _CHECKSUM]
    checksum = _remainder(padded) ^ 1
    ends = [checksum >> 5 * (_CHECKSUM - 1 - at) & 31 for at in range(_CHECKSUM)]
    return f"{prefix}1{''.join(_CHARACTERS[value] for value in [*values, *ends])}"


def _fives(content: bytes) -> list[int]:
    """Return *content* in groups of five bits, the last one filled up."""
    bits = "".join(f"{byte:08b}" for byte in content)
    groups = (bits[at : at + 5] for at in range(0, len(bits), 5))
    return [int(group.ljust(5, "0"), 2) for group in groups]


def _expanded(prefix: str) -> list[int]:
    letters = prefix.encode("ascii")
    return [*(letter >> 5 for letter in letters), 0, *(one & 31 for one in letters)]


def _remainder(values: Iterable[int]) -> int:
    rest = 1
    for value in values:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_POLYNOMIAL):
            if top >> bit & 1:
                rest ^= factor
    return rest
