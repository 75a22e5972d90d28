"""Lists as ``systemctl show`` prints them. Pure."""

import re

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def words(value: str) -> tuple[str, ...]:
    """
    Split a list as systemctl show prints it.

    Words with special characters are in double quotes, with backslashes escaped:
    seen of systemd 252 and 257.
    """
    if '"' not in value:
        return tuple(value.split())
    return tuple(
        re.sub(r"\\(.)", r"\1", quoted) or plain
        for quoted, plain in _WORD.findall(value)
    )
