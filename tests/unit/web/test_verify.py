"""Signatures: what is right, and that everything else is wrong."""

import base64
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.settings import SOURCEHUT_KEY, Sender
from reconciler.web.webhooks.verify import TOLERANCE, Finding, begin
from tests.support.hooks import (
    NOW,
    SENDERS,
    SHARED,
    SIGNING,
    SOURCEHUT,
    Headers,
    Signed,
    generic,
    github,
    gitlab,
    hexmac,
    sourcehut,
    standard,
)

KEYS = {
    **dict.fromkeys(Sender, SHARED.encode()),
    Sender.SOURCEHUT: SOURCEHUT.public_key().public_bytes_raw(),
}
HEX = Sender.GITHUB, Sender.GITEA, Sender.FORGEJO, Sender.GOGS
SIGNATURES = {
    Sender.GITHUB: "X-Hub-Signature-256",
    Sender.GITEA: "X-Gitea-Signature",
    Sender.FORGEJO: "X-Forgejo-Signature",
    Sender.GOGS: "X-Gogs-Signature",
    Sender.GITLAB: "X-Gitlab-Token",
    Sender.BITBUCKET: "X-Hub-Signature",
    Sender.SOURCEHUT: "X-Payload-Signature",
    Sender.GENERIC: "X-Signature",
}


def raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return *headers* as a server gets them."""
    return [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]


def finding(
    provider: Sender,
    signed: Signed,
    *,
    secrets: Sequence[bytes] | None = None,
    now: float = NOW,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> Finding:
    body, headers = signed
    keys = [KEYS[provider]] if secrets is None else secrets
    check = begin(provider, [*raw(headers), *more], keys)
    half = len(body) // 2
    for chunk in (body[:half], body[half:], b""):
        check.update(chunk)
    return check.finding(now)


def with_signature(provider: Sender, value: str, body: bytes = b"{}") -> Signed:
    """Return what *provider* sends, but for its signature."""
    headers = SENDERS[provider](body)[1]
    assert SIGNATURES[provider] in headers
    return body, {**headers, SIGNATURES[provider]: value}


# --- what is right ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "header", "body", "signature"),
    [
        (
            Sender.GITHUB,
            "X-Hub-Signature-256",
            b"Hello, World!",
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (
            Sender.BITBUCKET,
            "X-Hub-Signature",
            b"Hello World!",
            "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
        ),
    ],
)
def test_what_the_forges_documentation_computes(
    provider: Sender, header: str, body: bytes, signature: str
) -> None:
    signed = body, {header: f"sha256={signature}"}

    assert finding(provider, signed) is Finding.GOOD
    assert finding(provider, (body + b"!", signed[1])) is Finding.BAD


def test_what_standard_webhooks_computes() -> None:
    signed = (
        b'{"test": 2432232314}',
        {
            "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "Webhook-Timestamp": "1614265330",
            "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    )

    assert finding(Sender.GITLAB, signed, secrets=[SIGNING.encode()]) is (Finding.GOOD)


@pytest.mark.parametrize("provider", list(Sender))
@given(body=st.binary(max_size=200))
def test_whatever_a_forge_sends_is_right(provider: Sender, body: bytes) -> None:
    assert finding(provider, SENDERS[provider](body)) is Finding.GOOD


@given(body=st.binary(max_size=200), at=st.integers(0, 2**33))
def test_whatever_is_signed_with_a_signing_token_is_right(body: bytes, at: int) -> None:
    found = finding(
        Sender.GITLAB,
        standard(body, at=at),
        secrets=[SIGNING.encode()],
        now=at,
    )
    assert found is Finding.GOOD


def test_forgejo_may_send_what_gitea_sends() -> None:
    assert finding(Sender.FORGEJO, SENDERS[Sender.GITEA](b"x")) is Finding.GOOD


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_generic_sender_chooses_its_digest(algorithm: str) -> None:
    signed = generic(b"old new refs/heads/main\n", algorithm=algorithm)
    assert finding(Sender.GENERIC, signed) is Finding.GOOD


def test_the_key_of_sr_ht_is_one() -> None:
    """Ours signed it, so theirs did not."""
    key = base64.b64decode(SOURCEHUT_KEY)
    assert len(key) == 32
    assert finding(Sender.SOURCEHUT, sourcehut(b"x"), secrets=[key]) is Finding.BAD


@pytest.mark.parametrize("secret", ["Müllers Geheimnis", "ひみつ", "🔑\t🔑"])
def test_a_secret_may_be_in_any_script(secret: str) -> None:
    signed = github(b"{}", key=secret)
    assert finding(Sender.GITHUB, signed, secrets=[secret.encode()]) is Finding.GOOD
    token = b"{}", {"X-Gitlab-Token": secret.encode().decode("latin-1")}
    assert finding(Sender.GITLAB, token, secrets=[secret.encode()]) is Finding.GOOD


@pytest.mark.parametrize("provider", [p for p in Sender if p.value != "sourcehut"])
def test_while_a_secret_is_replaced_both_are_right(provider: Sender) -> None:
    both = [b"the new secret", SHARED.encode()]
    assert finding(provider, SENDERS[provider](b"{}"), secrets=both) is Finding.GOOD
    assert finding(provider, SENDERS[provider](b"{}"), secrets=both[:1]) is Finding.BAD


# --- what is wrong ---------------------------------------------------------------


@pytest.mark.parametrize("provider", list(Sender))
@given(data=st.data())
def test_one_changed_bit_of_the_body_is_wrong(
    provider: Sender, data: st.DataObject
) -> None:
    if provider is Sender.GITLAB:
        return  # its token says nothing about the body
    body = data.draw(st.binary(min_size=1, max_size=64))
    headers = SENDERS[provider](body)[1]
    place = data.draw(st.integers(0, len(body) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    other = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]

    assert finding(provider, (other, headers)) is Finding.BAD


@pytest.mark.parametrize("provider", list(Sender))
@given(value=st.text(st.characters(max_codepoint=255), max_size=100))
def test_no_other_signature_is_right_or_breaks_anything(
    provider: Sender, value: str
) -> None:
    good = SENDERS[provider](b"{}")[1][SIGNATURES[provider]]
    if value.strip() == good:
        return
    assert finding(provider, with_signature(provider, value)) is Finding.BAD


def nearly_right(good: str) -> dict[str, str]:
    """Return signatures of an empty object that are not *good*."""
    return {
        "empty": "",
        "prefix only": "sha256=",
        "63 digits": good[:-1],
        "65 digits": f"{good}0",
        "an odd number of digits": good[:-3],
        "no digit": f"{good[:-1]}g",
        "upper case": good.upper(),
        "upper case digits": good[:8] + good[8:].upper(),
        "NUL": f"{good}\0",
        "not ASCII": f"\xe9{good[1:]}",
        "twice in one": f"{good},{good}",
        "quoted": f'"{good}"',
        "1 byte": good[:1],
        "6 bytes": good[:6],
        "7 bytes": good[:7],
        "zeros": "0" * 64,
        "SHA-1": "sha1=" + hexmac(b"{}", SHARED, "sha1"),
        "MD5": "md5=" + hexmac(b"{}", SHARED, "md5"),
        "no secret": "sha256=" + hexmac(b"{}", ""),
        "no digest": "none=",
    }


@pytest.mark.parametrize("provider", [*HEX, Sender.BITBUCKET, Sender.GENERIC])
@pytest.mark.parametrize("kind", nearly_right(""))
def test_signatures_that_are_nearly_right(provider: Sender, kind: str) -> None:
    good = SENDERS[provider](b"{}")[1][SIGNATURES[provider]]
    bad = nearly_right(good)[kind]

    assert bad != good
    assert finding(provider, with_signature(provider, bad)) is Finding.BAD


@pytest.mark.parametrize("provider", list(Sender))
def test_without_its_header_nothing_is_right(provider: Sender) -> None:
    body, headers = SENDERS[provider](b"{}")
    fewer = {name: v for name, v in headers.items() if "Sig" not in name}
    fewer.pop("X-Gitlab-Token", None)

    assert finding(provider, (body, fewer)) is Finding.BAD
    assert finding(provider, (body, {})) is Finding.BAD


@pytest.mark.parametrize("provider", list(Sender))
def test_a_header_that_comes_twice_is_wrong(provider: Sender) -> None:
    body, headers = SENDERS[provider](b"{}")
    name = SIGNATURES[provider]
    again = [(name.lower().encode(), headers[name].encode())]

    assert finding(provider, (body, headers), more=again) is Finding.BAD


@pytest.mark.parametrize("provider", list(Sender))
@pytest.mark.parametrize("secrets", [[], [b""]])
def test_without_a_secret_nothing_is_right(
    provider: Sender, secrets: list[bytes]
) -> None:
    """A library that forgets this lets everybody in, signature or not."""
    empty_key = hexmac(b"{}", "")
    for value in ("", "sha256=", f"sha256={empty_key}", empty_key, "x"):
        signed = with_signature(provider, value)
        assert finding(provider, signed, secrets=secrets) is Finding.BAD
    assert finding(provider, SENDERS[provider](b"{}"), secrets=secrets) is Finding.BAD


@pytest.mark.parametrize("provider", list(Sender))
@pytest.mark.parametrize("other", list(Sender))
def test_what_one_forge_sends_is_right_for_another_only_where_it_says_so(
    provider: Sender, other: Sender
) -> None:
    says_so = {
        Sender.GITHUB: {Sender.GITEA, Sender.FORGEJO},
        Sender.GITEA: {Sender.FORGEJO},
        Sender.FORGEJO: {Sender.GITEA},
        Sender.GOGS: {Sender.GITEA, Sender.FORGEJO},
    }
    if other is provider or other in says_so.get(provider, set()):
        return
    assert finding(provider, SENDERS[other](b"{}")) is Finding.BAD


def test_a_body_written_in_another_way_is_another_body() -> None:
    """The signature is over bytes: what a parser makes of them is no matter."""
    _, headers = github(b'{"ref": "refs/heads/main"}')
    same = b'{"ref":"refs/heads/main"}'
    assert finding(Sender.GITHUB, (same, headers)) is Finding.BAD


# --- Standard Webhooks -----------------------------------------------------------


KEY = [SIGNING.encode()]


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (0.0, Finding.GOOD),
        (TOLERANCE, Finding.GOOD),
        (-TOLERANCE, Finding.GOOD),
        (TOLERANCE + 1, Finding.STALE),
        (-TOLERANCE - 1, Finding.STALE),
        (1e9, Finding.STALE),
    ],
)
def test_what_was_signed_long_ago_or_in_the_future_is_stale(
    late: float, expected: Finding
) -> None:
    found = finding(Sender.GITLAB, standard(b"{}"), secrets=KEY, now=NOW + late)
    assert found is expected


@pytest.mark.parametrize(
    "time", ["", "x", "-5", "1e9", "1614265330.0", "9" * 16, "9" * 5000, "١٦١٤٢٦٥٣٣٠"]
)
def test_a_time_that_is_none_is_never_right(time: str) -> None:
    body, headers = standard(b"{}")
    changed = {**headers, "Webhook-Timestamp": time.encode().decode("latin-1")}
    assert finding(Sender.GITLAB, (body, changed), secrets=KEY) is Finding.BAD


def test_one_of_several_signatures_is_enough() -> None:
    body, headers = standard(b"{}")
    good = headers["Webhook-Signature"]
    several = f"v1,AAAA v1a,BBBB {good}"
    signed = body, {**headers, "Webhook-Signature": several}
    assert finding(Sender.GITLAB, signed, secrets=KEY) is Finding.GOOD


def test_there_is_an_end_to_signatures() -> None:
    body, headers = standard(b"{}")
    many = "v1,AAAA " * 100 + headers["Webhook-Signature"]
    signed = body, {**headers, "Webhook-Signature": many}
    assert finding(Sender.GITLAB, signed, secrets=KEY) is Finding.BAD


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp"])
def test_id_and_time_are_signed_too(name: str) -> None:
    body, headers = standard(b"{}")
    changed = {**headers, name: headers[name].replace("1", "2")}
    assert changed != headers
    assert finding(Sender.GITLAB, (body, changed), secrets=KEY) is Finding.BAD


def test_a_signing_secret_is_never_taken_as_a_token() -> None:
    """Else whoever gets GitLab to send it in a header could do without signing."""
    signed = gitlab(b"{}", key=SIGNING)
    assert finding(Sender.GITLAB, signed, secrets=KEY) is Finding.BAD


def test_a_token_and_a_signing_secret_may_stand_side_by_side() -> None:
    both = [*KEY, SHARED.encode()]
    assert finding(Sender.GITLAB, gitlab(b"{}"), secrets=both) is Finding.GOOD
    assert finding(Sender.GITLAB, standard(b"{}"), secrets=both) is Finding.GOOD


# --- sourcehut -------------------------------------------------------------------


def test_the_nonce_is_signed_too() -> None:
    body, headers = sourcehut(b"{}")
    for nonce in ("", "0" * 16):
        changed = {**headers, "X-Payload-Nonce": nonce}
        assert finding(Sender.SOURCEHUT, (body, changed)) is Finding.BAD


def test_body_and_nonce_cannot_be_cut_elsewhere() -> None:
    """Without a nonce at all, its bytes at the end of the body would be right."""
    body, headers = sourcehut(b"{}", nonce="abcd")
    moved = body + b"abcd", {**headers, "X-Payload-Nonce": ""}
    assert finding(Sender.SOURCEHUT, moved) is Finding.BAD
