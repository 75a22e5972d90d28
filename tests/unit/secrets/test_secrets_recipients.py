"""Who can decrypt: the list of public keys."""

import subprocess
from pathlib import Path

import pyrage
import pytest

from reconciler.errors import KeyContentError
from reconciler.secrets import age, recipients


def public() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


@pytest.fixture
def ssh(tmp_path: Path) -> str:
    """Return an SSH public key, without the name after it."""
    key = tmp_path / "id"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(argv, check=True, timeout=100)
    return " ".join((tmp_path / "id.pub").read_text().split()[:2])


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "recipients.txt"


def test_comments_and_names_are_no_recipients(listed: Path, ssh: str) -> None:
    one = public()
    listed.write_text(f"# us\n\n  {one}  # the reconciler\n{ssh} me@here\n")

    assert recipients.read(listed) == (one, ssh)


def test_a_wrong_line_is_named_by_its_number(listed: Path) -> None:
    listed.write_text(f"{public()}\nage1nonsense\n")
    with pytest.raises(KeyContentError, match=r"recipients\.txt:2: 'age1nonsense'"):
        recipients.read(listed)


def test_a_private_key_is_refused_and_not_repeated(listed: Path) -> None:
    secret = str(pyrage.x25519.Identity.generate())
    with pytest.raises(KeyContentError) as caught:
        recipients.add(listed, secret)

    assert "private key" in str(caught.value)
    assert secret not in str(caught.value)
    assert not listed.exists()


def test_recipients_come_and_go_with_their_names(listed: Path) -> None:
    one, two = public(), public()
    assert recipients.add(listed, one, "the reconciler")
    assert recipients.add(listed, two)
    assert not recipients.add(listed, two)
    assert recipients.read(listed) == (one, two)

    assert recipients.remove(listed, one)
    assert not recipients.remove(listed, one)
    assert listed.read_text() == f"{two}\n"


def test_the_nearest_list_counts_up_to_the_top_of_the_repository(
    tmp_path: Path,
) -> None:
    top = tmp_path / "repo"
    inner, other = top / "secrets/inner", top / "other"
    inner.mkdir(parents=True)
    other.mkdir()
    (top / ".git").mkdir()
    (tmp_path / recipients.NAME).write_text(f"{public()}\n")
    assert recipients.find(inner) is None

    (top / "secrets" / recipients.NAME).write_text(f"{public()}\n")
    assert recipients.find(inner) == top / "secrets" / recipients.NAME
    assert recipients.find(other) is None


def test_a_list_counts_for_what_no_nearer_one_does(tmp_path: Path) -> None:
    for name in ("a.age", "b/c.age", "b/not.txt", "own/d.age"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for folder in (tmp_path, tmp_path / "own"):
        (folder / recipients.NAME).write_text(f"{public()}\n")

    below = recipients.encrypted_below(tmp_path / recipients.NAME)

    assert [str(path.relative_to(tmp_path)) for path in below] == ["a.age", "b/c.age"]


def test_nobody_is_no_audience() -> None:
    with pytest.raises(KeyContentError, match="no recipient"):
        age.encrypt(b"x", [])
