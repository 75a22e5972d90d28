"""A file of paths behind a URL, followed as a repository is."""

import gzip
import json
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from reconciler.errors import SourceError
from reconciler.model import Commit
from reconciler.settings import Layout, RepositorySettings, VerifySettings
from reconciler.source import Mirror, UnusableError
from reconciler.source.file_signatures import NAMESPACE
from reconciler.source.published import LIMITS

FIRST = {"web": f"/nix/store/{'1' * 32}-nixos-system-web-1"}
SECOND = {"web": f"/nix/store/{'2' * 32}-nixos-system-web-2"}
NAME = "/ci/paths.json"


@dataclass
class Site:
    """A web server with what is published."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    encoded: str = ""  # how what is there is
    given: list[int] = field(default_factory=list)  # the statuses
    logins: list[str] = field(default_factory=list)
    url: str = ""
    broken: str = ""  # which path is

    def publish(self, paths: object, key: Path | None = None) -> None:
        """Have this be the file, signed by a key if there is one."""
        content = json.dumps(paths).encode()
        if key is not None:
            self.files[f"{NAME}.sig"] = sign(content, key)
        self.files[NAME] = content


def sign(content: bytes, key: Path, namespace: str = NAMESPACE) -> bytes:
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key)]
    return subprocess.run(
        argv, input=content, capture_output=True, check=True, timeout=60
    ).stdout


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.logins.append(self.headers.get("Authorization", ""))
        content = site.files.get(self.path)
        tag = f'"{hash(content)}"'
        if site.answers:
            self._answer(*site.answers.pop(0))
        elif self.path == site.broken:
            self._answer(503, {})
        elif content is None:
            self._answer(404, {})
        elif self.headers.get("If-None-Match") == tag:
            self._answer(304, {})
        else:
            encoded = {"Content-Encoding": site.encoded} if site.encoded else {}
            self._answer(200, {"ETag": tag, **encoded}, content)

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes = b""
    ) -> None:
        self.site.given.append(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path)
    handler = type("Handler", (_Handler,), {"site": one})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    one.url = f"http://127.0.0.1:{server.server_port}{NAME}"
    one.publish(FIRST)
    yield one
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return made_key(tmp_path / "key")


def made_key(file: Path) -> Path:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)]
    subprocess.run(argv, check=True, timeout=60)
    return file


def mirror(site: Site, key: Path | None = None, **verify: Path) -> Mirror:
    """Return the mirror of what is published, signed by *key* if there is one."""
    if key is not None:
        allowed = site.folder / "allowed"
        allowed.write_text(f"ci@example.org {key.with_suffix('.pub').read_text()}")
        verify["allowed_signers"] = allowed
    settings = RepositorySettings(
        url=site.url,
        layout=Layout.PATHS,
        verify=VerifySettings.model_validate(verify),
    )
    return Mirror(settings, state=site.folder / "state")


def told(mirror: Mirror, commit: Commit) -> object:
    return json.loads((mirror.checkout(commit) / "paths.json").read_bytes())


def test_each_content_is_a_commit(site: Site) -> None:
    looking = mirror(site)

    first = looking.fetch()
    assert told(looking, first) == FIRST
    assert first.subject.startswith("paths.json of 127.0.0.1: ")
    assert looking.fetch() == first
    assert site.given == [200, 304]

    site.publish(SECOND)
    second = looking.fetch()
    assert told(looking, second) == SECOND
    assert looking.contains(second.id, first.id)
    assert looking.between(first.id, second.id, limit=9) == ([second], 1)

    site.publish(FIRST)
    third = looking.fetch()
    assert told(looking, third) == FIRST
    assert looking.contains(third.id, second.id)
    # Another process, which knows no ETag, makes no other commit of it.
    again = mirror(site)
    assert again.fetch() == third
    assert again.resolve(second.id[:12]).id == second.id


def test_what_cannot_be_read_takes_nothing_back(site: Site) -> None:
    looking = mirror(site)
    first = looking.fetch()
    site.publish(SECOND)
    site.answers = [(503, {"Retry-After": "120"}), (404, {})]

    with pytest.raises(SourceError, match="the answer is 503") as caught:
        looking.fetch()
    assert caught.value.retry_after == 120
    with pytest.raises(SourceError, match=f"{NAME} cannot be read: .* 404"):
        looking.fetch()
    assert looking.resolve("main") == first
    site.answers = [(302, {"Location": f"{site.url}?moved"})] * 9
    with pytest.raises(SourceError, match="redirects"):
        looking.fetch()
    site.answers.clear()
    site.files[NAME] = b" " * (LIMITS["paths.json"] + 1)
    with pytest.raises(SourceError, match="larger than 16 MiB"):
        looking.fetch()
    site.publish(SECOND)
    assert told(looking, looking.fetch()) == SECOND


def test_what_grows_beyond_all_bounds_is_given_up(site: Site) -> None:
    """Packed twice, a GiB is sent as some kB."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    piece = bytes(1 << 20)
    parts = [packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) for _ in "ab"]
    site.files[NAME] = gzip.compress(parts[0] + 1023 * parts[1])
    site.encoded = "gzip, gzip"

    with pytest.raises(SourceError, match="more memory than it may"):
        mirror(site).fetch()


def test_a_login_comes_from_a_file(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login ci password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))

    mirror(site).fetch()

    assert site.logins == ["Basic Y2k6c2VjcmV0"]


def test_a_file_must_be_signed_where_that_is_asked_for(site: Site, key: Path) -> None:
    looking = mirror(site, key)
    looking.check_signatures()

    def flaw() -> str:
        found = looking.first_unsigned(looking.fetch().id, [])
        return found.why if found else ""

    assert "it has no signature" in flaw()
    site.publish(FIRST, key)
    assert flaw() == "", "a signature that comes later counts"
    good = looking.fetch()
    site.publish(SECOND)  # with the signature of the one before
    assert flaw() != ""
    site.publish(SECOND, made_key(site.folder / "other"))
    assert flaw() != ""
    site.publish({})
    site.files[f"{NAME}.sig"] = sign(b"{}", key, "git")
    assert flaw() != "", "it is signed for something else"
    site.publish(SECOND, key)
    assert flaw() == ""
    newest = looking.fetch()
    assert looking.contains(newest.id, good.id)
    # Its own signature alone counts, and none before it.
    assert looking.first_unsigned(newest.id, [good.id]) is None
    revoked = site.folder / "revoked"
    revoked.write_text(key.with_suffix(".pub").read_text())
    strict = mirror(site, key, revoked=revoked)
    assert strict.first_unsigned(newest.id, []) is not None
    revoked.unlink()
    with pytest.raises(UnusableError, match="revoked cannot be read"):
        strict.first_unsigned(newest.id, [])
    # What signs the file that is to come leaves the one that is there alone.
    site.files[f"{NAME}.sig"] = sign(b"{}", key)
    assert looking.fetch() == newest


def test_what_was_there_once_does_not_come_back_unseen(site: Site, key: Path) -> None:
    """Whoever may write the file has all old signatures."""
    looking = mirror(site, key)
    site.publish(FIRST, key)
    looking.fetch()
    site.publish(SECOND, key)
    second = looking.fetch()

    site.publish(FIRST, key)
    replayed = looking.fetch()

    assert told(looking, replayed) == FIRST
    assert not looking.contains(replayed.id, second.id), "as after a force-push"
    site.publish(SECOND, key)
    assert looking.fetch() == second
    site.publish({}, key)
    newest = looking.fetch()
    assert looking.contains(newest.id, second.id)
    # Where somebody let the old one pass, what is new goes on from that as well.
    site.publish(FIRST, key)
    replayed = looking.fetch()
    site.publish({**FIRST, **SECOND, "db": SECOND["web"]}, key)
    after = looking.fetch()
    assert all(looking.contains(after.id, one.id) for one in (replayed, newest))


def test_an_old_file_is_known_again_by_what_it_says(site: Site, key: Path) -> None:
    """Its signature can be written in another way, by who cannot sign."""
    looking = mirror(site, key)
    site.publish(FIRST, key)
    looking.fetch()
    site.publish(SECOND, key)
    second = looking.fetch()

    site.publish(FIRST, key)
    site.files[f"{NAME}.sig"] += b"\n"
    replayed = looking.fetch()

    assert looking.first_unsigned(replayed.id, []) is None, "it verifies"
    assert not looking.contains(replayed.id, second.id)
    # Nor does one come in by a bad signature, which is mended.
    site.publish(SECOND, key)
    looking.fetch()
    site.publish(FIRST)
    looking.fetch()
    site.publish(FIRST, key)
    assert not looking.contains(looking.fetch().id, second.id)
    # The newest may be signed anew, as with another key.
    site.publish(SECOND, key)
    site.files[f"{NAME}.sig"] += b"\n"
    assert looking.contains(looking.fetch().id, second.id)


def test_the_signature_is_beside_the_file_whatever_is_asked_of_both(
    site: Site, key: Path
) -> None:
    """As of artifacts of a CI's job."""
    site.publish(FIRST, key)
    asked = "?job=build"
    site.files = {f"{name}{asked}": content for name, content in site.files.items()}
    site.url += asked
    looking = mirror(site, key)

    assert looking.first_unsigned(looking.fetch().id, []) is None


def test_where_one_of_the_two_cannot_be_read_both_are_again(
    site: Site, key: Path
) -> None:
    looking = mirror(site, key)
    site.publish(FIRST, key)
    first = looking.fetch()
    site.publish({}, key)
    site.broken = f"{NAME}.sig"
    with pytest.raises(SourceError, match="503"):
        looking.fetch()
    assert looking.resolve("main") == first
    site.broken = ""
    assert told(looking, looking.fetch()) == {}
