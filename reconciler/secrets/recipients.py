"""
Who can decrypt the secrets of a repository: one public key to a line.

The file is called ``recipients.txt`` and counts for the folder that it is in and those
below, up to the next one. Empty lines and what follows a ``#`` at the start are
comments; a name may stand in a comment above its key, or after an SSH key.
"""

from collections.abc import Iterator
from pathlib import Path

from reconciler.errors import KeyContentError
from reconciler.secrets import age, files

NAME = "recipients.txt"


def find(folder: Path) -> Path | None:
    """Return the file that counts for *folder*, searched up to the repository's top."""
    folder = folder.absolute()
    for place in (folder, *folder.parents):
        if (place / NAME).is_file():
            return place / NAME
        if (place / ".git").exists():
            return None
    return None


def read(path: Path) -> tuple[str, ...]:
    """Return the recipients in the file *path*. KeyContentError with the line."""
    found = []
    for number, line in enumerate(_lines(path), start=1):
        if text := _recipient(line):
            try:
                age.recipient(text)
            except KeyContentError as error:
                message = f"{path}:{number}: {error}"
                raise KeyContentError(message) from None
            found.append(text)
    return tuple(found)


def add(path: Path, recipient: str, name: str = "") -> bool:
    """Add *recipient*; return whether it was not there. Raises KeyContentError."""
    age.recipient(recipient)
    if recipient in (read(path) if path.exists() else ()):
        return False
    lines = _lines(path) if path.exists() else []
    comment = [f"# {name}"] if name else []
    _write(path, [*lines, *comment, recipient])
    return True


def remove(path: Path, recipient: str) -> bool:
    """Remove *recipient* and a comment right above; return whether it was there."""
    lines = _lines(path)
    for number, line in enumerate(lines):
        if _recipient(line) == recipient:
            above = number > 0 and lines[number - 1].startswith("#")
            del lines[number - above : number + 1]
            _write(path, lines)
            return True
    return False


def encrypted_below(path: Path) -> Iterator[Path]:
    """Yield the encrypted files that the recipients in *path* count for, sorted."""
    for file in sorted(path.absolute().parent.rglob(f"*{files.AGE}")):
        if file.is_file() and find(file.parent) == path.absolute():
            yield file


def _recipient(line: str) -> str:
    """Return what *line* says beside comments and the name of an SSH key."""
    text = line.strip()
    if not text or text.startswith("#"):
        return ""
    words = text.split()
    return " ".join(words[:2]) if text.startswith("ssh-") else words[0]


def _lines(path: Path) -> list[str]:
    return files.read(path, shown=str(path)).decode(errors="replace").splitlines()


def _write(path: Path, lines: list[str]) -> None:
    files.replace(path, "".join(f"{line}\n" for line in lines).encode())
