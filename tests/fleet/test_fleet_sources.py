"""The machine's apt sources, turned to the release that an image needs."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[2] / "lab/fleet/fleetlib/sources.py"
_spec = importlib.util.spec_from_file_location("fleet_sources", FILE)
assert _spec is not None
assert _spec.loader is not None
sources = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sources)

ONE_LINE = """\
# deb https://mirror.example/old bookworm main
deb [signed-by=/k.gpg arch=amd64] https://mirror.example/debian bookworm main contrib
deb https://mirror.example/debian bookworm-updates main # recent
deb-src https://mirror.example/debian bookworm main
deb https://vendor.example/apt cloud-sdk-bookworm main
deb https://mirror.example/debian bookworm-backports main
deb https://mirror.example/security stable-security main
"""
DEB822 = """\
Types: deb deb-src
# the nearest one
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main non-free
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBFqH

Types: deb
URIs: https://mirror.example/off
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: https://vendor.example/apt
Suites: nodistro
Components: main
"""


def test_lines_of_debian_itself_are_turned_to_the_release_wanted() -> None:
    text = sources.one_line_sources(ONE_LINE, machine="bookworm", wanted="trixie")

    assert text.splitlines() == [
        "deb [signed-by=/k.gpg arch=amd64] https://mirror.example/debian trixie main",
        "deb https://mirror.example/debian trixie-updates main",
        "deb https://mirror.example/security trixie-security main",
    ]


def test_stanzas_keep_their_address_and_key() -> None:
    text = sources.deb822_sources(DEB822, machine="bookworm", wanted="trixie")

    assert text == (
        "types: deb\n"
        "uris: https://mirror.example/debian\n"
        "suites: trixie trixie-updates\n"
        "components: main\n"
        "signed-by:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
        " .\n"
        " mQINBFqH\n"
    )


def test_a_machine_of_the_release_wanted_keeps_its_suites() -> None:
    text = sources.one_line_sources(ONE_LINE, machine="bookworm", wanted="bookworm")

    assert "https://mirror.example/debian bookworm main" in text
