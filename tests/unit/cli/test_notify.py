"""``reconciler notify``, and what other subcommands say of targets."""

from reconciler.messages import Kind, Letter, Message, Telling
from tests.support.receiver import Receiver
from tests.support.rig import free_port
from tests.support.scene import Scene
from tests.unit.cli.conftest import Cli

SECRET = "S3cr3tToken"  # noqa: S105 -- of nothing


def name_targets(cli: Cli, *targets: str) -> None:
    more = f"\nnotify: {{targets: [{', '.join(targets)}]}}\n"
    cli.settings.write_text(cli.settings.read_text() + more)


def target(name: str, port: int) -> str:
    url = f"json://127.0.0.1:{port}/{SECRET}"
    return f"{{name: {name}, url: '{url}', events: [drift], hosts: ['@home']}}"


def let_wait(scene: Scene, name: str) -> None:
    message = Message(key="1", kind=Kind.DRIFT, at=scene.clock(), host="lufta")
    letters = (Letter(target=name, message=message),)
    outbox = scene.history.outbox
    outbox.tell("lufta", lambda _before: Telling(told="{}", letters=letters))
    numbers = [one.seq for one in outbox.waiting(name)]
    outbox.failed(numbers, error="connection refused", next_at=0.0)


def test_nobody_is_told(cli: Cli) -> None:
    said = cli("notify", "list")

    assert said.status == 0
    assert said.out.startswith("Nobody is told")
    assert cli("notify", "list", "--json").json == []


def test_the_targets_and_what_waits_for_each(cli: Cli, scene: Scene) -> None:
    name_targets(cli, target("phone", 9), target("mail", 9))
    let_wait(scene, "phone")

    said = cli("notify", "list")

    assert said.lines[0].split()[:2] == ["TARGET", "SERVICE"]
    assert said.lines[1].split()[:5] == ["phone", "json", "drift", "@home", "1"]
    assert "connection refused" in said.lines[2]
    assert said.lines[3].split()[:5] == ["mail", "json", "drift", "@home", "0"]
    assert SECRET not in said.out


def test_the_list_as_json(cli: Cli, scene: Scene) -> None:
    forge = "{provider: github, repository: me/x, token_file: /t}"
    name_targets(cli, target("phone", 9))
    cli.settings.write_text(cli.settings.read_text() + f"statuses: {forge}\n")
    let_wait(scene, "phone")

    phone, github = cli("notify", "list", "--json").json

    assert phone == {
        "target": "phone",
        "service": "json",
        "events": ["drift"],
        "hosts": ["@home"],
        "waiting": 1,
        "oldest_at": scene.clock(),
        "accepted_at": None,
        "error": "connection refused",
    }
    assert github["target"] == "github me/x reconciler"
    assert github["service"] == "github"


def test_a_test_message_arrives(cli: Cli) -> None:
    with Receiver() as receiver:
        name_targets(cli, target("phone", receiver.port))

        said = cli("notify", "test")

    assert (said.status, said.out) == (0, "✓ phone  accepted\n")
    assert receiver.titles == ["reconciler: test message for phone"]
    assert receiver.deliveries[0].json["type"] == "info"


def test_a_test_says_which_target_does_not_accept_and_why(cli: Cli) -> None:
    with Receiver() as receiver:
        name_targets(cli, target("phone", receiver.port), target("mail", free_port()))

        said = cli("notify", "test")
        only = cli("notify", "test", "phone")

    assert said.status == 1
    assert said.lines[0] == "✓ phone  accepted"
    assert said.lines[1].startswith("✗ mail  ")
    assert "onnection" in said.lines[1]
    assert SECRET not in said.out + said.err
    assert (only.status, only.out) == (0, "✓ phone  accepted\n")


def test_an_unknown_target_is_an_error(cli: Cli) -> None:
    name_targets(cli, target("phone", 9))

    said = cli("notify", "test", "fone")

    assert said.status == 1
    assert "no target is named 'fone'; notify.targets" in said.err
    assert "has: phone" in said.err


def test_status_warns_of_a_target_that_does_not_accept(cli: Cli, scene: Scene) -> None:
    name_targets(cli, target("phone", 9))
    let_wait(scene, "phone")

    said = cli("status")

    assert "warning: cannot tell phone (1 waiting): connection refused" in said.err


def test_check_says_whether_apprise_takes_each_target(cli: Cli, scene: Scene) -> None:
    scene.push({})
    odd = f"{{name: odd, url: 'nonsense://{SECRET}'}}"
    name_targets(cli, target("phone", 9), odd)

    said = cli("check", "--json")

    found = {line["check"]: line for line in said.json}
    assert found["notifications to phone"]["ok"]
    assert not found["notifications to odd"]["ok"]
    assert "knows no such service" in found["notifications to odd"]["problem"]
    assert SECRET not in said.out + said.err
