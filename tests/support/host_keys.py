"""
The files of keys on the host in memory, and what the scripts for keys do to them.

It follows the two scripts' contracts, not their text; the tests on a real host hold
both to the same.
"""

import base64
import hashlib
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from reconciler.apply.scripts import script

KEYS = script("keys")
REMOVE = script("keys-remove")
KINDS = {
    "regular": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "directory": stat.S_IFDIR,
    "fifo": stat.S_IFIFO,
}
ACCOUNTS = ("root", "keys", "daemon")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFile:
    """What stands at one path."""

    content: bytes = field(default=b"", repr=False)
    user: str = "root"
    group: str = "root"
    mode: int = 0o600
    kind: str = "regular"
    readable: bool = True  # whether sha256sum gets at it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """One key as it arrives at the host."""

    number: str
    path: str
    file: FakeFile
    digest: str


ACTIVATED_AT = 1_700_000_000


@dataclass(slots=True, kw_only=True)
class FakeKeys:
    """Every file at the place of a key, by path."""

    files: dict[str, FakeFile] = field(default_factory=dict)
    accounts: set[str] = field(default_factory=lambda: set(ACCOUNTS))
    links: dict[str, str] = field(default_factory=dict)  # folders that lead elsewhere
    on_disk: set[str] = field(default_factory=set)  # folders that are not in memory
    full: bool = False  # no space is left
    left_behind: dict[str, int] = field(default_factory=dict)
    """By how many seconds the last activation left links of secrets behind."""
    log: list[str] = field(default_factory=list)

    def reboot(self) -> None:
        """Lose everything that is in memory."""
        self.files = {
            path: file
            for path, file in self.files.items()
            if not path.startswith("/run/")
        }

    # --- the probe ---------------------------------------------------------------

    def answer(self, paths: Sequence[str]) -> Iterator[str]:
        """Return the sections about *paths* in the probe's answer."""
        found = [(path, self.files[path]) for path in paths if path in self.files]
        yield "== keys"
        yield from (self._stat(path, file) for path, file in found)
        yield "== digests"
        for path, file in found:
            if file.kind == "regular" and file.readable:
                yield f"{hashlib.sha256(file.content).hexdigest()}  {path}"
        yield "== folders"
        for folder in sorted({path.rpartition("/")[0] for path in paths}):
            yield "ext2/ext3" if self._on_disk(folder) else "tmpfs"
            yield self.links.get(folder, folder)
            yield folder

    def answer_secrets(
        self, paths: Sequence[str], links: Sequence[str]
    ) -> Iterator[str]:
        """Return what is said of *paths* of secrets, which are files as well here."""
        if paths:
            there = [path for path in paths if path in self.files]
            yield "== secrets"
            yield from (self._stat(path, self.files[path]) for path in there)
            yield f"status={int(there != list(paths))}"
        if links:
            yield "== renewed"
            yield f"{ACTIVATED_AT} /run/current-system"
            for link in links:
                yield f"{ACTIVATED_AT - self.left_behind.get(link, 0)} {link}"

    def _stat(self, path: str, file: FakeFile) -> str:
        bits, size = KINDS[file.kind] | file.mode, len(file.content)
        names = [self._known(name) for name in (file.user, file.group)]
        numbers = [self._number(name) for name in (file.user, file.group)]
        return " ".join([f"{bits:x}", str(size), *numbers, *names, path])

    def _known(self, name: str) -> str:
        return name if name in self.accounts else "UNKNOWN"

    def _number(self, name: str) -> str:
        if name.isdecimal():
            return name
        return "0" if name == "root" else str(1000 + sorted(self.accounts).index(name))

    def _on_disk(self, folder: str) -> bool:
        return folder in self.on_disk or not folder.startswith("/run/")

    # --- changes -----------------------------------------------------------------

    def deliver(self, stdin: bytes) -> str:
        """Do what keys.sh does."""
        lines = iter(stdin.decode().split("\n"))
        answers: list[str] = []
        while next(lines) == "key":
            answers += self._deliver(_read_order(lines))
        return "\n".join([*answers, "done", ""])

    def _deliver(self, order: _Order) -> Iterator[str]:
        there = self.files.get(order.path)
        if reason := self._refusal(order, there):
            yield f"failed {order.number} {reason}"
            return
        regular = there is not None and there.kind == "regular"
        stands = regular and order.digest in ("-", _digest(there))
        new = replace(order.file, content=there.content) if stands and there else None
        missing = [n for n in (order.file.user, order.file.group) if not self._has(n)]
        file = new or order.file
        if missing:
            yield f"ownerless {order.number} there is no user {missing[0]}"
            file = replace(file, user="root", group="root", mode=0o600)
        self.files[order.path] = file
        word = "written" if not stands else "same" if file == there else "permitted"
        self.log.append(f"{word} {order.path}")
        yield f"{word} {order.number}"

    def _refusal(self, order: _Order, there: FakeFile | None) -> str:
        folder = order.path.rpartition("/")[0]
        if folder in self.links:
            return f"{folder} leads elsewhere, to {self.links[folder]}"
        if folder.startswith("/run/") and self._on_disk(folder):
            return f"{folder} is below /run and not in memory"
        if there is not None and there.kind == "directory":
            return "a folder is in its place"
        if order.digest == "-" and (there is None or there.kind != "regular"):
            return "it is not there, and its content is not known"
        return f"no space is left in {folder}" if self.full else ""

    def _has(self, name: str) -> bool:
        return name in self.accounts or name.isdecimal()

    def remove(self, paths: Iterable[str]) -> str:
        """Do what keys-remove.sh does."""
        answers = [f"{self._remove(path)}" for path in paths]
        lines = [answer.replace("#", str(n)) for n, answer in enumerate(answers)]
        return "\n".join([*lines, "done", ""])

    def _remove(self, path: str) -> str:
        there = self.files.get(path)
        if there is None:
            return "gone #"
        if there.kind != "regular":
            return "failed # something else than a file is in its place"
        del self.files[path]
        self.log.append(f"removed {path}")
        return "removed #"


def _read_order(lines: Iterator[str]) -> _Order:
    number, folder, name, user, group, mode, size, digest = (
        next(lines) for _ in range(8)
    )
    text = "".join(iter(lambda: next(lines), "."))
    content = base64.b64decode(text, validate=True)
    assert len(content) == int(size)
    assert digest in ("-", hashlib.sha256(content).hexdigest())
    file = FakeFile(content=content, user=user, group=group, mode=int(mode, 8))
    path = f"{folder.rstrip('/')}/{name}"
    return _Order(number=number, path=path, file=file, digest=digest)


def _digest(file: FakeFile | None) -> str:
    return hashlib.sha256(file.content if file else b"").hexdigest()
