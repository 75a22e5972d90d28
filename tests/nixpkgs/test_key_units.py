"""`/run/keys`, and the units that wait for keys, on a host that runs."""

from pathlib import Path

import pytest

from tests.nixpkgs.conftest import REPOSITORY, Host
from tests.support.wait import wait_until

pytestmark = [pytest.mark.nix, pytest.mark.fleet]

OPTIONS = REPOSITORY / "reconciler/desired/nix/deployment.nix"

MODULE = f"""
  {{
    imports = [ {OPTIONS} ];
    deployment.keys = {{
      bot.text = throw "nobody looks at it";
      far = {{ keyFile = "/none"; destDir = "/run/far away/k"; name = "a 'b' $c"; }};
    }};
    systemd.services.reader = {{
      after = [ "bot-key.service" ];
      wants = [ "bot-key.service" ];
      partOf = [ "bot-key.service" ];
      script = "cat /run/keys/bot >/run/read; exec sleep infinity";
    }};
  }}
"""

UNIT = "bot-key.service"
KEY = "/run/keys/bot"


def state(host: Host, unit: str = UNIT) -> str:
    return host.says(f"systemctl show -P ActiveState {unit}")


def invocation(host: Host, unit: str = UNIT) -> str:
    return host.says(f"systemctl show -P InvocationID {unit}")


def deliver(host: Host, content: str, key: str = KEY) -> None:
    """Put a key in its place as the reconciler does: whole, or not at all."""
    host.says(f"printf %s {content} >'{key}.tmp'; mv '{key}.tmp' '{key}'")


def wait_for(host: Host, wanted: str, unit: str = UNIT) -> None:
    wait_until(lambda: state(host, unit) == wanted, 20, f"{unit} to be {wanted}")


def wait_for_another(host: Host, before: str, unit: str) -> None:
    """Wait until *unit* runs, and in another run than *before*."""

    def runs_anew() -> bool:
        return state(host, unit) == "active" and invocation(host, unit) != before

    wait_until(runs_anew, 20, f"{unit} to run anew")


@pytest.fixture(scope="module")
def system(host: Host) -> Path:
    """Switch the host to a system with keys."""
    toplevel = host.system(MODULE)
    done = host.switch(toplevel)
    assert done.returncode == 0, done.stderr
    return toplevel


@pytest.fixture
def switched(host: Host, system: Path) -> Host:
    """Give the host with none of the keys there and none of the units running."""
    assert host.says("readlink -f /run/current-system") == str(system)
    host.says(f"systemctl stop reader.service far-key.service {UNIT}")
    host.says("rm -rf /run/keys/bot '/run/far away' /run/read")
    return host


def test_the_folder_of_keys_is_in_memory_and_of_the_group(switched: Host) -> None:
    assert switched.says("stat -c '%U %G %a' /run/keys") == "root keys 750"
    assert switched.says("stat -f -c %T /run/keys") == "ramfs"
    assert switched.says("grep -c ' /run/keys ' /proc/mounts") == "1"


def test_a_service_waits_for_its_key_and_follows_it(switched: Host) -> None:
    switched.says("systemctl start --no-block reader.service")
    wait_for(switched, "activating")
    assert state(switched, "reader.service") == "inactive"

    deliver(switched, "first")
    wait_for(switched, "active")
    wait_for(switched, "active", "reader.service")
    assert switched.says("cat /run/read") == "first"

    before = invocation(switched, "reader.service")
    deliver(switched, "second")
    wait_for_another(switched, before, "reader.service")
    assert state(switched) == "active"
    assert switched.says("cat /run/read") == "second"

    switched.says(f"rm {KEY}")
    wait_for(switched, "activating")
    wait_for(switched, "inactive", "reader.service")
    deliver(switched, "third")
    wait_for(switched, "active", "reader.service")
    assert switched.says("cat /run/read") == "third"


def test_only_another_file_is_another_key(switched: Host) -> None:
    deliver(switched, "same")
    switched.says(f"systemctl start {UNIT}")
    before = invocation(switched)

    switched.says(f"chmod 440 {KEY}; chown nobody:keys {KEY}; touch {KEY}; cat {KEY}")
    switched.says(f"chmod 400 {KEY}; chown root:root {KEY}; touch /run/keys/other")
    switched.says("systemctl daemon-reload; rm /run/keys/other")
    deliver(switched, "new")

    # What came before the new file would have ended the unit before it.
    wait_for_another(switched, before, UNIT)
    assert switched.says(f"systemctl show -P NRestarts {UNIT}") == "1"


def test_a_file_that_is_still_open_is_gone_all_the_same(switched: Host) -> None:
    deliver(switched, "open")
    switched.says(f"systemctl start {UNIT}")
    switched.says(f"systemd-run --unit=holder sh -c 'exec sleep 60 <{KEY}'")
    try:
        holder = "systemctl show -P MainPID holder"
        link = f"readlink /proc/$({holder})/fd/0"
        wait_until(lambda: switched.run(link).stdout.strip() == KEY, 20, "the holder")

        switched.says(f"rm {KEY}")

        wait_for(switched, "activating")
    finally:
        switched.run("systemctl stop holder")


def test_many_new_keys_in_a_row_do_not_make_it_fail(switched: Host) -> None:
    deliver(switched, "0")
    switched.says(f"systemctl start {UNIT}")
    for number in range(8):
        before = invocation(switched)
        deliver(switched, str(number))
        wait_for_another(switched, before, UNIT)

    assert state(switched) == "active"


def test_a_folder_that_is_not_there_yet_is_waited_for(switched: Host) -> None:
    switched.says("systemctl start --no-block far-key.service")
    wait_for(switched, "activating", "far-key.service")

    script = """mkdir -p '/run/far away/k'; echo x >"/run/far away/k/a 'b' \\$c" """
    switched.says(script)

    wait_for(switched, "active", "far-key.service")
