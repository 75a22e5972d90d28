"""Where the name of a checkout is, in what was made of it."""

import os
import re

from reconciler.desired.ground import STORE, Ground

_HASH_BEGINS = 7
"""Letters of a hash that hardly anything else has by chance; as many as git shows."""

_TEXT_LIMIT = 8 << 20

_STORE_PATH = re.compile(rf"{re.escape(STORE)}/[0-9a-z]{{32}}-[^\"'\\ ,)]+".encode())


class CheckoutNames:
    """
    Finds the folder of a checkout in what derivations hold.

    Each commit has a folder of its own: where a system holds its name as text, each
    commit makes another system. Derivations never change, so each is read once.
    """

    def __init__(self) -> None:
        self._known: tuple[list[bytes], set[bytes]] = ([], set())

    def found(self, ground: Ground, answer: str) -> str:
        """
        Return where *answer*, or what its derivations are built from, names it.

        Empty if nowhere; so it is for the copy of the checkout that Nix read.
        """
        needles, data = _needles(ground), answer.encode(errors="replace")
        if any(needle in data for needle in needles):
            return "what Nix told"
        of, clean = self._known
        if of != needles:
            clean = set()
            self._known = (needles, clean)
        seen: set[bytes] = set()
        todo = [path for path in _STORE_PATH.findall(data) if path.endswith(b".drv")]
        while todo:
            path = todo.pop()
            if path in clean or path in seen:
                continue
            seen.add(path)
            text = _text_of(path)
            is_derivation = path.endswith(b".drv")
            if any(needle in text for needle in needles) or (
                is_derivation and not text
            ):
                # Also where it was collected: then nobody knows.
                return os.fsdecode(path)
            if is_derivation:
                todo += _inputs(text)
        # Only now: of what is built from something else, that may still name it.
        clean |= seen
        return ""


def _needles(ground: Ground) -> list[bytes]:
    """
    Return what would name a checkout: its path, and its commit's id.

    Of a copy in the store, the beginning of its hash: also where it is cut short.
    """
    checkout = ground.checkout
    path, folder = str(checkout.absolute()), checkout.absolute().parent.name
    names = [path, str(checkout.resolve())]
    if re.match(r"[0-9a-f]{40}", folder):
        names.append(folder[:16])
    if ground.copy:
        names.append(ground.copy.removeprefix(f"{STORE}/")[:_HASH_BEGINS])
    return [os.fsencode(name) for name in names]


def _inputs(data: bytes) -> set[bytes]:
    """Return what a derivation is built from: derivations, and files in the store."""
    return set(_STORE_PATH.findall(data))


def _text_of(path: bytes) -> bytes:
    """Return a derivation or another file; nothing of folders and large files."""
    try:
        if os.stat(path).st_size > _TEXT_LIMIT:  # noqa: PTH116 -- bytes
            return b""
        with open(path, "rb") as file:  # noqa: PTH123 -- bytes
            return file.read()
    except OSError:
        return b""
