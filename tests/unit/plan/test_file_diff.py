"""How the text of a file is shown to differ."""

from reconciler.plan import file_diff
from reconciler.plan.file_diff import NO_TEXT, TOO_LARGE

PATH = "/etc/systemd/system/nginx.service"


def test_a_line_that_changes_is_shown_with_those_around_it() -> None:
    found = file_diff(PATH, b"[Service]\nUser=a\n", b"[Service]\nUser=b\n")

    assert found is not None
    assert (found.kind, found.path) == ("changed", PATH)
    assert found.lines[1:] == (" [Service]", "-User=a", "+User=b", " ")


def test_indentation_stays_and_what_a_terminal_obeys_goes() -> None:
    found = file_diff(PATH, b"", b"  \x1b[2Ja")

    assert found is not None
    assert found.lines[-1] == "+  a"


def test_a_file_with_the_same_text_does_not_differ() -> None:
    assert file_diff(PATH, b"a", b"a") is None


def test_files_come_and_go() -> None:
    came, went = file_diff(PATH, None, b"a"), file_diff(PATH, b"a", None)

    assert came is not None
    assert went is not None
    assert (came.kind, went.kind) == ("added", "removed")
    assert went.lines[-1] == "-a"


def test_what_is_no_text_or_too_large_is_said_to_differ() -> None:
    binary = file_diff(PATH, b"a", b"\0b")
    large = file_diff(PATH, b"a", None, large=True)

    assert binary is not None
    assert large is not None
    assert (binary.note, binary.lines) == (NO_TEXT, ())
    assert (large.note, large.lines) == (TOO_LARGE, ())
