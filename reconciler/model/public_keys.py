"""Lines of authorized_keys, without what they hold."""

import base64
import hashlib
import itertools
from collections.abc import Iterable, Iterator

_KINDS = ("ssh-", "ecdsa-", "sk-")


def fingerprints(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of authorized_keys *lines* as ``ssh-keygen -l`` shows them."""
    return tuple(sorted({one for line in lines for one in _fingerprint(line.split())}))


def _fingerprint(words: list[str]) -> Iterator[str]:
    """Yield what stands behind the options of one line, if it is a key."""
    if words and words[0].startswith("#"):
        return
    for kind, blob in itertools.pairwise(words):
        if kind.startswith(_KINDS):
            try:
                raw = base64.b64decode(blob, validate=True)
            except ValueError:
                continue
            digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
            yield f"{kind} SHA256:{digest.rstrip('=')}"
            return
