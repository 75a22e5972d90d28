"""What a host is, asked of the host itself and not of the reconciler."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support.faults.releases import ACTIVATIONS, KEY, SERVICE
from tests.support.fleet import FleetHost

# Prints one word a line, then the units' properties; needs no tool but systemd's.
_SCRIPT = f"""
set -u
running=$(readlink -f /run/current-system)
units=$running/etc/systemd/system
echo "running=$running"
echo "profile=$(readlink -f /nix/var/nix/profiles/system)"
echo "boots=$(readlink -f /boot/default)"
# While systemd is executed anew, it does not answer.
for _ in $(seq 100); do
  guardian=$(systemctl is-active reconciler-activation)
  [ -n "$guardian" ] && break
  sleep 0.1
done
echo "guardian=$guardian"
echo "release=$(sed -n 's/^Environment="RELEASE=\\(.*\\)"$/\\1/p' "$units/{SERVICE}")"
for _ in $(seq 100); do
  pid=$(systemctl show -p MainPID --value {SERVICE}) && break
  sleep 0.1
done
echo "process=$(tr '\\0' '\\n' </proc/$pid/environ | sed -n 's/^RELEASE=//p')"
echo "token=$(tr '\\0' '\\n' </proc/$pid/environ | sed -n 's/^WITHINBOT_TOKEN=//p')"
echo "key=$(cat {KEY})"
echo "key_is=$(stat -c '%U:%G %a' {KEY})"
echo "keys=$(ls -A /run/keys | tr '\\n' ' ')"
echo "activations=$(tr '\\n' ' ' <{ACTIVATIONS})"
cd "$units"
wanted=$(ls -d multi-user.target.wants/* sockets.target.wants/* timers.target.wants/* \\
  sysinit.target.wants/* | sed 's|.*/||' | sort -u)
for unit in $wanted; do
  [ -f "$unit" ] && echo "file.$unit=$(readlink -f "$unit")"
done
echo ==
for _ in $(seq 100); do
  shown=$(systemctl show -p Id,ActiveState,SubState,Type,RemainAfterExit \\
    -p NeedDaemonReload,FragmentPath,Result,ConditionResult,Restart,ExecMainCode \\
    -p ExecMainStatus,RemainAfterElapse -- $wanted) && break
  sleep 0.1
done
echo "$shown"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One look at a host from the inside."""

    facts: Mapping[str, str]
    files: Mapping[str, str]  # of the wanted units: what the running system says
    units: Sequence[Mapping[str, str]]  # and what systemd says

    @property
    def running(self) -> str:
        """The system that runs."""
        return self.facts["running"]

    @property
    def boots(self) -> tuple[str, str]:
        """The system profile, and what the boot loader starts."""
        return self.facts["profile"], self.facts["boots"]

    @property
    def release(self) -> str:
        """The name of the release that the running system is, if it is one."""
        return self.facts["release"]

    @property
    def guarded(self) -> bool:
        """Whether a guardian is at work."""
        return self.facts["guardian"] in ("active", "activating", "deactivating")

    def activations(self) -> list[str]:
        """Return the release of each switch that there was, oldest first."""
        return self.facts["activations"].split()

    def whole(self) -> list[str]:
        """Return what is wrong with the system that runs; nothing if it is whole."""
        return [*self._wrong_units(), *self._wrong_keys()]

    def _wrong_units(self) -> list[str]:
        wrong = []
        for unit in self.units:
            name = unit["Id"]
            if name not in self.files:
                continue  # Debian's, not of the system
            state = f"{unit['ActiveState']}/{unit['SubState']}"
            if not _is_up(unit):
                wrong.append(f"{name} is {state} ({unit['Result']})")
            if unit["NeedDaemonReload"] == "yes":
                wrong.append(f"{name} has changed on disk")
        if self.release and self.facts["process"] != self.release:
            wrong.append(
                f"{SERVICE} runs as of {self.facts['process'] or 'no release'}"
            )
        return wrong

    def _wrong_keys(self) -> list[str]:
        wrong = []
        if self.release and self.facts["key"] != f"WITHINBOT_TOKEN='{self.release}'":
            wrong.append(f"the key is not that of release {self.release}")
        if self.release and self.facts["token"] != self.release:
            wrong.append(f"{SERVICE} uses another key than that of {self.release}")
        if self.facts["key_is"] != "withinbot:within 400":
            wrong.append(f"the key is {self.facts['key_is'] or 'not there'}")
        if self.facts["keys"].split() != ["withinbot"]:
            wrong.append(f"/run/keys has {self.facts['keys']}")
        return wrong

    def __str__(self) -> str:
        return json.dumps(dict(self.facts), indent=1)


def survey(host: FleetHost) -> Survey:
    """Look at *host*, without SSH and without the reconciler."""
    told, _, shown = host.exec("sh", "-c", f"{{ {_SCRIPT}\n}} 2>&-").partition("==\n")
    facts = dict(line.partition("=")[::2] for line in told.splitlines())
    units = [
        dict(line.partition("=")[::2] for line in block.splitlines())
        for block in shown.split("\n\n")
        if block.strip()
    ]
    files = {k.removeprefix("file."): v for k, v in facts.items() if "file." in k}
    return Survey(facts=facts, files=files, units=units)


def _is_up(unit: Mapping[str, str]) -> bool:
    passing = unit.get("Type") == "oneshot" and unit.get("RemainAfterExit") == "no"
    once = unit.get("RemainAfterElapse") == "no"
    if passing or once or unit.get("ConditionResult") == "no":
        return unit["ActiveState"] != "failed"
    return unit["ActiveState"] == "active" or _has_ended_well(unit)


def _has_ended_well(unit: Mapping[str, str]) -> bool:
    """Whether its program exited with 0, and systemd is content with that, or waits."""
    ended = (unit.get("ExecMainCode"), unit.get("ExecMainStatus")) == ("1", "0")
    again = unit.get("Restart") in ("always", "on-success")
    state = unit["SubState"] == ("auto-restart" if again else "dead")
    return ended and state and unit["Result"] == "success"
