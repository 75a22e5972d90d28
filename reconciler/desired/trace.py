"""
What an evaluation looks at, told by the kernel.

strace writes down each file that Nix, and what Nix starts, asks for: read, listed, or
only asked whether it is there. One file of the trace for each process, so that no call
is cut in two by another one. With ``--seccomp-bpf`` calls that are of no interest are
not slowed down.

A line that is not understood is told as a puzzle; then nobody relies on the trace.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from pathlib import Path

from reconciler import process
from reconciler.errors import CommandError, ReconcilerError

PROGRAM = "nix-instantiate"
"""Whose start begins what is looked at: what prepared its place does not count."""

_CALLS = "trace=%file,fchdir"
_STRACE = ("strace", "-ff", "--seccomp-bpf", "-qq", "-y", "-ttt", "-e", _CALLS)
_TRY_SECONDS = 10.0

SIZE_LIMIT = 64 << 20
"""Bytes of a trace; that of a whole NixOS has three million."""

TOO_LARGE = "it looks at so many files that they are not written down"

_ANY_SIZE = ("/bin/sh", "-c", 'ulimit -S -f "$(ulimit -H -f)"; exec "$@"', "sh")
"""What to put before a command that writes files as large as our own may be."""

READ, LIST, LOOK, LINK = "read", "list", "look", "link"
"""How a path was asked for; LINK: what it is itself, be it a link."""

_LINE = re.compile(
    r"(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+|\?)(?:<.*>)?(?: (E[A-Z]+).*)?.*"
)
_STRING = r'"((?:[^"\\]|\\.)*)"'
_PATH = re.compile(_STRING)
_BRACKETS = r"<((?:[^>\\]|\\.)*)>"
_AT = re.compile(rf"(?:AT_FDCWD|\d+)(?:{_BRACKETS})?, {_STRING}")
_IN_FOLDER = re.compile(rf"AT_FDCWD{_BRACKETS}, ")
_DESCRIPTOR = re.compile(rf"\d+{_BRACKETS}")
_WRITES = re.compile("O_WRONLY|O_RDWR|O_CREAT")
_THERE = frozenset({"EACCES", "EPERM", "EINVAL", "ELOOP", "EEXIST", "ENODATA"})
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-f]{2}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_NO_CALL = ("---", "+++")

_OPENS = frozenset({"open", "openat", "openat2", "creat"})
_LOOKS = frozenset(
    {"stat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "statfs"}
    | {"stat64", "fstatat64", "statfs64", "getxattr", "listxattr", "oldstat", "chdir"}
)
_LINKS = frozenset(
    {"lstat", "lstat64", "readlink", "readlinkat", "lgetxattr", "llistxattr"}
    | {"oldlstat", "name_to_handle_at"}
)
_CHANGES = frozenset(
    {"mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat"}
    | {"renameat2", "symlink", "symlinkat", "link", "linkat", "chmod", "fchmodat"}
    | {"fchmodat2", "chown", "lchown", "fchownat", "utime", "utimes", "utimensat"}
    | {"futimesat", "truncate", "mknod", "mknodat", "setxattr", "lsetxattr"}
    | {"chown32", "lchown32", "truncate64", "removexattr", "lremovexattr"}
    | {"inotify_add_watch"}
)
_QUIET = frozenset({"getcwd", "mount", "umount2", "pivot_root", "chroot"})


Hides = Callable[[str], bool]
"""Says whether a path stands for nothing of this machine."""


def hides_nothing(_path: str) -> bool:
    """Say that everything is seen."""
    return False


@dataclass(frozen=True, slots=True)
class Access:
    """That a path was asked for."""

    path: str  # absolute, as it was asked for
    how: str
    there: bool  # whether it was there
    foreign: bool = False  # by another program than Nix, which may know files by times


@dataclass(slots=True)
class Trace:
    """What one evaluation looked at."""

    accesses: set[Access] = field(default_factory=set)
    made: set[str] = field(default_factory=set)  # paths that it wrote to itself
    puzzles: list[str] = field(default_factory=list)
    began: float = 0.0  # when Nix was started, by the machine's clock
    hides: Hides = hides_nothing  # what it cannot see, whatever is there
    cache: str = ""  # where Nix keeps what it fetched, if that is for this one alone


Hear = Callable[[Trace], None]


@lru_cache(maxsize=1)
def problem() -> str:
    """Return why nothing can be traced on this machine; empty if it can."""
    if shutil.which("strace") is None:
        return "strace was not found on PATH: install it"
    try:
        with process.scratch("trace") as folder:
            argv = (*_STRACE, "-o", f"{folder}/of", "--", "true")
            process.run(argv, deadline=_TRY_SECONDS)
            if any(folder.iterdir()):
                return ""
    except (ReconcilerError, OSError) as error:
        return f"strace may not trace here: {error}"
    return "strace tells nothing here"


@contextlib.contextmanager
def around(
    argv: Sequence[str], hear: Hear | None, *, hides: Hides = hides_nothing
) -> Iterator[tuple[str, ...]]:
    """
    Give what runs *argv* traced; *hear* gets the trace, if the block ends well.

    *hides* says what of this machine it does not see. Outermost: what *argv* starts
    before Nix does not count. Where nobody wants to hear, or nothing can be traced,
    that is *argv* itself.
    """
    if hear is None or problem() or shutil.which(PROGRAM) is None:
        yield tuple(argv)
        return
    with process.scratch("trace") as folder:
        try:
            yield (*_bounded(), *_STRACE, "-o", f"{folder}/of", "--", *_ANY_SIZE, *argv)
        except CommandError as error:
            if any(_is_full(file) for file in folder.iterdir()):
                raise FullError from error
            raise
        trace = read(sorted(folder.iterdir()))
        trace.hides = hides
        hear(trace)


class FullError(Exception):
    """A trace became so large that it was ended, and with it what was traced."""


def too_large() -> Trace:
    """Return what is told in place of a trace that became too large."""
    return Trace(puzzles=[TOO_LARGE])


def _bounded() -> tuple[str, ...]:
    """Return what to put before a command that writes no file larger than a trace."""
    blocks = SIZE_LIMIT >> 9  # twice as large where a shell counts in others
    return ("/bin/sh", "-c", f'ulimit -S -f {blocks}; exec "$@"', "sh")


def _is_full(file: Path) -> bool:
    return file.stat().st_size >= SIZE_LIMIT


def read(files: Sequence[Path]) -> Trace:
    """Return what the *files* of one trace tell."""
    if sum(file.stat().st_size for file in files) > SIZE_LIMIT:
        return too_large()
    processes = [_parsed(file.read_bytes()) for file in files]
    starts = [one.started for one in processes if one.started]
    trace = Trace()
    if not starts:
        trace.puzzles.append(f"no start of {PROGRAM} was traced")
        return trace
    trace.began = min(starts)
    for one in processes:
        one.add_to(trace, since=trace.began)
    return trace


@dataclass(slots=True)
class _Process:
    """The calls of one process, and when it became Nix."""

    calls: list[tuple[float, str, str, str]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    started: float = 0.0

    def add_to(self, trace: Trace, *, since: float) -> None:
        """Add what it looked at since then to *trace*."""
        foreign, folder = False, ""
        for at, name, arguments, error in self.calls:
            folder = _folder(folder, name, arguments, error)
            if at < since:
                continue
            if name == "execve" and not error:
                foreign = not _starts_nix(arguments)
            call = _Call(name, arguments, error, foreign=foreign, folder=folder)
            call.add_to(trace)
        trace.puzzles.extend(self.odd)


def _parsed(text: bytes) -> _Process:
    found = _Process()
    seen: set[str] = set()  # Nix asks for its database thousands of times
    for raw in text.decode("latin-1").split("\n"):
        _, _, told = raw.partition(" ")
        if told in seen or not told:
            continue
        if told.startswith(("execve(", "chdir(", "fchdir(")):
            seen.clear()  # another program begins, or the same name is another file
        else:
            seen.add(told)
        line = _LINE.fullmatch(raw)
        if line is None:
            if not told.startswith(_NO_CALL):
                found.odd.append(f"the trace holds {raw[:80]!r}")
            continue
        at, name, arguments, _, error = line.groups()
        found.calls.append((float(at), name, arguments, error or ""))
        if name == "execve" and not error and _starts_nix(arguments):
            found.started = found.started or float(at)
    return found


def _folder(before: str, name: str, arguments: str, error: str) -> str:
    """Return the folder that a process is in after a call; empty if not known."""
    if match := _IN_FOLDER.match(arguments):
        return unquoted(match[1])
    if error or name not in {"chdir", "fchdir"}:
        return before
    if name == "fchdir":
        match = _DESCRIPTOR.match(arguments)
        return unquoted(match[1]) if match else ""
    match = _PATH.match(arguments)
    return os.path.join(before, unquoted(match[1])) if match else ""  # noqa: PTH118 -- text


def _starts_nix(arguments: str) -> bool:
    match = _PATH.match(arguments)
    return match is not None and match[1].rpartition("/")[2] == PROGRAM


@dataclass(frozen=True, slots=True)
class _Call:
    """One call that is about files."""

    name: str
    arguments: str
    error: str
    _: KW_ONLY
    foreign: bool
    folder: str

    def add_to(self, trace: Trace) -> None:
        """Add what it is about to *trace*."""
        name = self.name
        if name in _QUIET or name == "fchdir":
            return
        if name in _CHANGES:
            trace.made.update(self._all_paths())
            return
        text, rest = _place(self.arguments)
        path = self._absolute(text)
        if not path:
            if not _is_of_descriptor(self.arguments):
                trace.puzzles.append(f"no path is known: {name}({self.arguments[:80]})")
            return
        if name in _OPENS and _WRITES.search(rest):
            trace.made.add(path)
            if "O_WRONLY" in rest:
                return
        how = _how(name, rest)
        if not how:
            trace.puzzles.append(f"the call {name} is not known")
            return
        there = not self.error or self.error in _THERE
        trace.accesses.add(Access(path, how, there, self.foreign))

    def _absolute(self, path: str | None) -> str:
        """Return an absolute path; empty where it is not known."""
        if not path or path.startswith("/"):
            return path or ""
        return os.path.join(self.folder, path) if self.folder else ""  # noqa: PTH118 -- text

    def _all_paths(self) -> Iterator[str]:
        """Yield every path in the arguments of a call that changes something."""
        rest = self.arguments
        while rest:
            if _AT.match(rest) or _PATH.match(rest):
                text, rest = _place(rest)
                if path := self._absolute(text):
                    yield path
            _, _, rest = rest.partition(", ")


def _how(name: str, rest: str) -> str:
    """Return how a call asks for a path; empty if that is not known."""
    if name in _OPENS:
        if "O_PATH" in rest:
            return LINK if "O_NOFOLLOW" in rest else LOOK
        return LIST if "O_DIRECTORY" in rest else READ
    if name in {"execve", "execveat", "uselib", "swapon"}:
        return READ
    if name in _LINKS or "AT_SYMLINK_NOFOLLOW" in rest:
        return LINK
    return LOOK if name in _LOOKS else ""


def _place(arguments: str) -> tuple[str | None, str]:
    """Return the path that a call is about, None if it is not known, and the rest."""
    if match := _AT.match(arguments):
        folder, text = match.groups()
        path, rest = unquoted(text), arguments[match.end() :]
        if path.startswith("/") or not path or arguments.startswith("AT_FDCWD"):
            return path, rest
        if folder is None or not folder.startswith("/"):
            return None, rest
        return os.path.join(unquoted(folder), path), rest  # noqa: PTH118 -- text, any bytes
    match = _PATH.match(arguments)
    return (unquoted(match[1]), arguments[match.end() :]) if match else (None, "")


def _is_of_descriptor(arguments: str) -> bool:
    """Say whether a call is about a file that is open, which was told already."""
    match = _AT.match(arguments)
    return "AT_EMPTY_PATH" in arguments and match is not None and not match[2]


def unquoted(quoted: str) -> str:
    """Return what strace or git quoted, without the quotes."""
    data = quoted.encode("latin-1")
    if b"\\" in data:
        data = _ESCAPE.sub(lambda match: _unescaped(match[1]), data)
    return os.fsdecode(data)


def _unescaped(code: bytes) -> bytes:
    if code[:1].isdigit():
        return bytes([int(code, 8) & 0xFF])
    if code[:1] == b"x":
        return bytes([int(code[1:], 16)])
    return _LETTERS.get(code, code)
