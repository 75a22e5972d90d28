"""
The machine's own apt sources, turned to the Debian release that an image needs.

Formats: sources.list(5), one line per source and deb822 stanzas.
"""

import re
from collections.abc import Iterator
from pathlib import Path

CODENAMES = {12: "bookworm", 13: "trixie"}
ALIASES = ("stable", "oldstable")
ONE_LINE = re.compile(
    r"deb\s+(?P<options>\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s"
)


def one_line_sources(text: str, *, machine: str, wanted: str) -> str:
    """Return the ``deb`` lines of *text* for the codename *wanted*, main only."""
    lines = []
    for line in text.splitlines():
        match = ONE_LINE.match(line.strip() + " ")
        if match and (suite := _turned(match["suite"], machine, wanted)):
            lines.append(f"deb {match['options'] or ''}{match['uri']} {suite} main\n")
    return "".join(lines)


def deb822_sources(text: str, *, machine: str, wanted: str) -> str:
    """Return the stanzas of *text* for the codename *wanted*, main only."""
    stanzas = []
    for fields in _stanzas(text):
        suites = [
            turned
            for suite in fields.get("suites", "").split()
            if (turned := _turned(suite, machine, wanted))
        ]
        if not suites or fields.get("enabled", "yes").strip().lower() == "no":
            continue
        kept = {k: v for k, v in fields.items() if k != "enabled"} | {
            "types": " deb",
            "suites": " " + " ".join(suites),
            "components": " main",
        }
        stanzas.append("".join(f"{key}:{value}\n" for key, value in kept.items()))
    return "\n".join(stanzas)


def machine_codename() -> str | None:
    """Return the Debian codename of this machine, None on another distribution."""
    text = Path("/etc/os-release").read_text()
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return fields.get("VERSION_CODENAME") if fields.get("ID") == "debian" else None


def machine_sources(wanted: str, *, etc_apt: Path) -> dict[str, str]:
    """
    Return the machine's sources for the codename *wanted*, as file name to text.

    Nothing on a machine that is not Debian: then mmdebstrap takes its defaults.
    """
    machine = machine_codename()
    if machine is None:
        return {}
    parts = etc_apt / "sources.list.d"
    lists = [etc_apt / "sources.list", *sorted(parts.glob("*.list"))]
    found = {
        "machine.list": "".join(
            one_line_sources(path.read_text(), machine=machine, wanted=wanted)
            for path in lists
            if path.is_file()
        ),
        "machine.sources": "\n".join(
            deb822_sources(path.read_text(), machine=machine, wanted=wanted)
            for path in sorted(parts.glob("*.sources"))
        ),
    }
    return {name: text for name, text in found.items() if text.strip()}


def _turned(suite: str, machine: str, wanted: str) -> str | None:
    """Return *suite* of the release *wanted*, None if it is not Debian's own."""
    names = "|".join(map(re.escape, (machine, *ALIASES)))
    match = re.fullmatch(rf"(?:{names})(-updates|-security)?", suite)
    return f"{wanted}{match[1] or ''}" if match else None


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                fields[name] += "\n" + line
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value
        yield fields
