"""How messages read, and who gets them."""

import pytest

from reconciler.messages import FIELDS, Kind, Message
from reconciler.notify.addressing import letters
from reconciler.notify.deliver import reason_of
from reconciler.notify.words import fields_of, level_of, text_of
from reconciler.settings import NotifyTarget


def message(host: str = "lufta", kind: Kind = Kind.DEPLOYED, **more: object) -> Message:
    values = {"key": f"{host}/1", "at": 0.0, "commit": "abc12345" + "0" * 32, **more}
    return Message(host=host, kind=kind, **values)  # type: ignore[arg-type]


def target(name: str = "phone", **more: object) -> NotifyTarget:
    return NotifyTarget.model_validate({"name": name, "url": "json://x/y", **more})


def test_the_fields_are_those_that_settings_accept() -> None:
    assert set(fields_of([message()])) == set(FIELDS)


def test_many_hosts_are_counted_in_the_title_and_listed_in_the_body() -> None:
    group = [message(f"host{n}", subject="Move it") for n in range(12)]

    text = text_of(group, title="[home] $summary", body="$details")

    assert text.title == "[home] deployed abc12345 to 12 hosts"
    assert text.body.splitlines()[0] == "host0: deployed"
    assert len(text.body.splitlines()) == 13
    assert text.body.splitlines()[-1] == "commit abc12345 Move it"
    assert text.level == "success"


def test_a_body_does_not_grow_without_end() -> None:
    text = text_of([message(f"h{n}") for n in range(500)], title="", body="$details")

    assert "… and 480 more" in text.body
    assert len(text.body.splitlines()) == 22


def test_the_text_of_a_reason_is_no_template() -> None:
    odd = message(kind=Kind.FAILED, text="$HOME and ${nothing} of 5 $")

    assert "$HOME and ${nothing} of 5 $" in text_of([odd], title="", body="$text").body


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_words_and_a_level(kind: Kind) -> None:
    text = text_of([message(kind=kind, about=(Kind.DRIFT,))], title="$summary", body="")

    assert text.title
    assert "$" not in text.title
    assert level_of(kind) in {"info", "success", "warning", "failure"}


def test_what_is_bad_is_no_success() -> None:
    assert level_of(Kind.FAILED) == level_of(Kind.UNREACHABLE) == "failure"
    assert level_of(Kind.DRIFT) == "warning"


# --- who -------------------------------------------------------------------------


def heard(of: Message, **more: object) -> bool:
    return bool(letters([of], [target(**more)]))


def test_without_filters_everything_is_heard() -> None:
    assert all(heard(message(kind=kind)) for kind in Kind)


def test_whoever_hears_of_a_bad_state_hears_of_its_end() -> None:
    drift = message(kind=Kind.DRIFT)
    healed = message(kind=Kind.HEALED, about=(Kind.DRIFT,))
    flaps = message(kind=Kind.FLAPPING, about=(Kind.DRIFT,))

    assert all(heard(one, events=["drift"]) for one in (drift, healed, flaps))
    assert not heard(message(), events=["drift"])
    assert not heard(message(kind=Kind.BACK, about=(Kind.UNREACHABLE,)), events="drift")


def test_a_rollback_is_heard_by_who_hears_of_quarantines() -> None:
    back = message(kind=Kind.ROLLED_BACK)
    mended = message(about=(Kind.ROLLED_BACK,))

    assert all(heard(one, events=["quarantined"]) for one in (back, mended))
    assert not heard(message(kind=Kind.QUARANTINED), events=["rolled-back"])


def test_hosts_and_tags() -> None:
    assert heard(message(), hosts=["lufta"])
    assert heard(message(tags=("web",)), hosts=["@web", "keanu"])
    assert not heard(message(tags=("web",)), hosts=["@db", "keanu", "web"])


def test_what_is_told_of_the_repository_is_heard_by_all() -> None:
    of_repository = message(host="", kind=Kind.REPOSITORY_UNREADABLE)

    assert heard(of_repository, hosts=["keanu"])
    assert not heard(of_repository, events=["deployed"])


# --- what must not be read -------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "tgram://123456:S3cr3tToken/-100200300/",
        "mailto://someone:S3cr3tToken@example.org",
        "json://host/path/S3cr3tToken?x=1",
        "json://host/path?token=S3cr3tToken",
        "json://host/S3cr3t%54oken",
        "discord://4174216298/S3cr3tToken",
        "json://S3cr3tToken/x",
    ],
)
def test_no_part_of_a_url_is_in_a_reason(url: str) -> None:
    lines = ["earlier", f"Failed to send to {url}: S3cr3tToken, connection refused"]

    reason = reason_of(lines, url)

    assert "S3cr3t" not in reason
    assert "connection refused" in reason


def test_a_reason_is_there_also_where_nothing_was_said() -> None:
    assert reason_of([], "json://x") == "the service did not accept it"
