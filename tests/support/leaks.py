"""
The search for a secret where it must not be.

Mark a secret so that nothing else looks like it (`marked`), let the program work with
it, then ask `find_leaks` of everything that was written, and look at the processes
meanwhile:

    with watching_processes(secret) as sightings:
        deliver(secret)
    assert sightings == []

It is found as it is, in hexadecimal and in base64, also inside of a longer text that
was encoded, as an authentication header or a database may.
"""

import base64
import contextlib
import math
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHUNK = 1 << 20
PROC = Path("/proc")
PAUSE = 0.02
"""Seconds between two looks at all processes, which take 10 ms each."""

STORE = "/nix/store"
STORE_PATH = re.compile(r"[0-9a-df-np-sv-z]{32}-(?!.*\.chroot$)")
"""How Nix names what it has in a store; folders of other names are still written."""

SHORTEST = 12
"""Bytes of the shortest secret that no accident can have written."""


def marked(what: str = "secret") -> bytes:
    """Return a secret that stands nowhere else on this machine."""
    return f"{what}-{secrets.token_hex(12)}".encode()


def forms_of(secret: bytes) -> dict[str, bytes]:
    """
    Return what to look for, by what it is called.

    In base64 the text depends on where among three bytes the secret begins; the first
    and last characters, which its neighbours have a part in, are left out.
    """
    secret = secret.strip()
    if len(secret) < SHORTEST:
        message = f"a secret of {len(secret)} bytes may stand somewhere by accident"
        raise ValueError(message)
    forms = {"raw": secret, "hex": secret.hex().encode()}
    forms["HEX"] = forms["hex"].upper()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + secret)
        inner = text[4 if shift else 0 : len(text) // 4 * 4 - 4]
        forms[f"base64+{shift}"] = inner
        forms[f"base64url+{shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return forms


def find_leaks(  # noqa: PLR0913 -- all that there is to look at
    secret: bytes,
    *,
    state_dirs: Iterable[Path] = (),
    stores: Iterable[Path] = (),
    logs: Iterable[Path] = (),
    texts: Mapping[str, bytes] | None = None,
    exclude: Iterable[Path] = (),
    since: float = 0.0,
) -> list[str]:
    """
    Return where *secret* stands, as ``PLACE: form``, sorted.

    Every file below *state_dirs*, *stores* and *logs* is read, names and the ends of
    links included, and no link is followed. *texts* are answers that are no file, by
    name. *exclude* are the files and folders that may hold it. Files that were last
    changed before *since*, in seconds since the epoch, cannot hold it, nor can what a
    store of Nix had by then: that is written once, and as a whole.
    """
    forms, spared = forms_of(secret), {path.absolute() for path in exclude}
    found = [
        f"{path}: {form}"
        for root in (*state_dirs, *stores, *logs)
        for path in _changed(root.absolute(), spared, since)
        for form in _in_file(path, forms)
    ]
    for name, text in (texts or {}).items():
        found += [f"{name}: {form}" for form in _in_text(text, forms)]
    return sorted(found)


@contextlib.contextmanager
def watching_processes(secret: bytes) -> Iterator[list[str]]:
    """
    Look at the arguments and environments of all processes while the body runs.

    Yields the list of sightings, each once, which grows while the body runs. Hosts of
    a fleet are containers, so their processes are among those that root sees.
    """
    forms, stop = forms_of(secret), threading.Event()
    sightings: list[str] = []

    def watch() -> None:
        while not stop.wait(PAUSE):
            seen = dict.fromkeys(_in_processes(forms))
            sightings.extend(one for one in seen if one not in sightings)

    thread = threading.Thread(target=watch, name="leaks", daemon=True)
    thread.start()
    try:
        yield sightings
    finally:
        stop.set()
        thread.join()


def _changed(root: Path, spared: set[Path], since: float) -> Iterator[Path]:
    """Return *root* and what is below it, of what was changed *since*."""
    if root in spared:
        return
    if _changed_at(root) >= since:
        yield root
    if root.is_dir() and not root.is_symlink():
        yield from _changed_below(str(root), {str(path) for path in spared}, since)


def _changed_below(folder: str, spared: set[str], since: float) -> Iterator[Path]:
    # A store has a million files: a `Path` for each, or a look at each, takes long.
    written_once = folder.endswith(STORE)
    with contextlib.suppress(OSError), os.scandir(folder) as found:  # it may go
        for entry in found:
            if entry.path in spared:
                continue
            if changed := _changed_at(entry.path) >= since:
                yield Path(entry.path)
            whole = written_once and not changed and STORE_PATH.match(entry.name)
            if not whole and entry.is_dir(follow_symlinks=False):
                yield from _changed_below(entry.path, spared, since)


def _changed_at(path: Path | str) -> float:
    """Return when a file or its name was last changed; late where it is gone."""
    with contextlib.suppress(OSError):
        return os.lstat(path).st_ctime  # which nobody sets, unlike that of the content
    return math.inf


def _in_file(path: Path, forms: Mapping[str, bytes]) -> Iterator[str]:
    """Say which forms stand in a file, its name or where it leads."""
    yield from (f"{form} (name)" for form in _in_text(path.name.encode(), forms))
    with contextlib.suppress(OSError):
        if path.is_symlink():
            yield from _in_text(str(path.readlink()).encode(), forms)
        elif path.is_file():
            yield from _in_content(path, forms)


def _in_content(path: Path, forms: Mapping[str, bytes]) -> Iterator[str]:
    overlap = max(map(len, forms.values())) - 1
    found: set[str] = set()
    with path.open("rb") as file:
        before = b""
        while chunk := file.read(CHUNK):
            found.update(_in_text(before + chunk, forms))
            before = (before + chunk)[-overlap:]
    yield from sorted(found)


def _in_text(text: bytes, forms: Mapping[str, bytes]) -> Iterator[str]:
    return (form for form, wanted in forms.items() if wanted in text)


def _in_processes(forms: Mapping[str, bytes]) -> Iterator[str]:
    for process in PROC.iterdir():
        if not process.name.isdecimal():
            continue
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # it ended, or is not ours
                text = (process / part).read_bytes()
                yield from (f"{part}: {form}" for form in _in_text(text, forms))
