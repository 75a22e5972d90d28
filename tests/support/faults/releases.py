"""
Commits for the fault suite: each is a release with a name, which a host tells.

A release gives the host's service an environment variable and the host's key a content
of its own, so that what runs on a host tells which release it is, and whether all of it
is of the same one. Each switch to it leaves a line on the host's disk.
"""

from dataclasses import dataclass

from tests.support.extra import add_extras, set_extra
from tests.support.rig import Rig

HOST = "lufta"
SERVICE = "withinbot.service"
KEY = "/run/keys/withinbot"
ACTIVATIONS = "/var/log/activations"  # a line with the release for each switch
HOLD = 0.5  # seconds that a release takes to start, so that a fault can strike then


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What was pushed."""

    name: str
    commit: str


def prepare(rig: Rig) -> None:
    """Have the example take what a release says."""
    add_extras(rig, HOST)


def push(rig: Rig, name: str, nix: str = "", *options: str) -> Release:
    """Push the release *name*; *nix* is more of the host's module, to break it."""
    set_extra(
        rig,
        HOST,
        f"""
  systemd.services.withinbot.environment.RELEASE = "{name}";
  systemd.services.withinbot.preStart = "sleep {HOLD}";
  deployment.keys.withinbot.text = lib.mkForce "WITHINBOT_TOKEN='{name}'";
  system.activationScripts.release = ''
    if [ "''${{NIXOS_ACTION:-}}" = test ]; then echo "{name}" >>{ACTIVATIONS}; fi
  '';
  {nix}""",
    )
    return Release(name=name, commit=rig.push(f"Release {name}", *options))


def service(body: str) -> str:
    """Return the module of a service that a release adds."""
    return f"""
  systemd.services.added = {{
    wantedBy = [ "multi-user.target" ];
    {body}
  }};"""


def switching(body: str) -> str:
    """
    Return a module whose ``switch-to-configuration test`` does *body*.

    In there, ``"$real" test`` is what it would have done.
    """
    return f"""
  system.extraSystemBuilderCmds = ''
    mv "$out/bin/switch-to-configuration" "$out/bin/really-switch"
    cat >"$out/bin/switch-to-configuration" <<END_OF_SCRIPT
    #!/bin/sh
    real=$out/bin/really-switch
    if [ "\\$1" = test ]; then
      {body.replace("$", chr(92) + "$")}
    fi
    exec "\\$real" "\\$@"
    END_OF_SCRIPT
    chmod +x "$out/bin/switch-to-configuration"
  '';"""


SSHD_MISCONFIGURED = 'services.openssh.extraConfig = "NoSuchOption yes";'
SSHD_STOPPED = service("""
    serviceConfig.Type = "oneshot";
    serviceConfig.RemainAfterExit = true;
    script = "systemctl stop sshd.service; pkill sshd || true";""")
FAILS_AT_ONCE = service('script = "echo I cannot go on; exit 3";')
FAILS_AFTER_A_WHILE = service('script = "sleep 0.7; echo No more of this; exit 3";')
RESTARTS_FOR_EVER = service("""
    serviceConfig.Restart = "always";
    serviceConfig.RestartSec = "100ms";
    startLimitIntervalSec = 0;
    script = "sleep 0.2; echo Once more; exit 1";""")


def _bound(name: str, how: str) -> str:
    """Return a service that starts over for withinbot's key; *how* at a switch."""
    return f"""
  systemd.services.{name} = {{
    wantedBy = [ "multi-user.target" ];
    partOf = [ "withinbot-key.service" ];
    environment.RELEASE = config.systemd.services.withinbot.environment.RELEASE;
    script = "exec sleep infinity";
    {how}
  }};"""


SLOW_TO_STOP = (
    _bound("left-alone", "restartIfChanged = false;")
    + _bound("only-reloaded", 'reloadIfChanged = true; reload = "true";')
    + """
  systemd.services.withinbot.preStop = "sleep 2";
  system.preSwitchChecks.slow = "sleep 1";
  system.activationScripts.slow = "sleep 3";"""
)

BAD = {
    "sshd is misconfigured": SSHD_MISCONFIGURED,
    "sshd is stopped": SSHD_STOPPED,
    "a service fails at once": FAILS_AT_ONCE,
    "a service fails after a while": FAILS_AFTER_A_WHILE,
    "a service restarts for ever": RESTARTS_FOR_EVER,
    "the switch exits with 1": switching("exit 1"),
    "the switch exits with 2 half-way": switching('"$real" test; exit 2'),
    "the switch hangs at once": switching("sleep 600"),
    "the switch hangs at its end": switching('"$real" test; sleep 600'),
}
"""Releases that a host must not be left on."""

HALF_WAY = """
  system.build.installBootLoader = lib.mkForce (pkgs.writeShellScript "half-way" ''
    PATH=/usr/bin:/bin
    rm -f /boot/default
    echo The rest does not fit
    exit 1
  '');"""
"""Its boot loader's program takes away what boots, and then fails."""

REFUSED = {
    "the switch wants a reboot": switching("exit 100"),
    "its own checks say no": """
  system.preSwitchChecks.no = "echo Not before noon; exit 1";""",
    "its own checks say no, and it cannot be asked before": switching(
        "echo Pre-switch checks failed >&2; exit 1"
    ),
}
"""Releases that are not switched to, and say so before anything was touched."""

ODD = {
    "the switch exits with 4, and all is well": switching('"$real" test; exit 4'),
    "the switch says much": switching("seq 20000 >&2"),
}
"""Releases that look bad and are good."""

RELEASE = """
    environment.RELEASE = config.systemd.services.withinbot.environment.RELEASE;"""
"""For a unit that a release brings: it differs from release to release."""


def _on_the_way(script: str) -> str:
    """Return a service that does *script* at its start, in each release anew."""
    return service(f"""{RELEASE}
    script = "{script}; exec sleep infinity";""")


_CUT = (
    'for one in /proc/[0-9]*; do [ \\"$(cat $one/comm)\\" = sshd ]'
    " && kill -9 \\${one#/proc/}; done; true"
)
"""What kills each sshd, without a tool that a unit does not have."""

GOOD = {
    "systemd is executed anew by the activation": """
  system.activationScripts.reexec = "systemctl daemon-reexec";""",
    # Not while the switch itself asks systemd, which no switch lives through.
    "systemd is executed anew while it is watched": _on_the_way(
        "until cat /run/reconciler/*/phase | grep -q waiting; do sleep 0.1; done;"
        " for _ in $(seq 6); do systemctl daemon-reexec; done"
    ),
    "systemd reads its units again and again": _on_the_way(
        "for _ in $(seq 15); do systemctl daemon-reload; sleep 0.2; done"
    ),
    "D-Bus is reloaded": _on_the_way("systemctl reload dbus.service"),
    "D-Bus is restarted": _on_the_way("systemctl restart dbus.service"),
    # The hosts of a fleet have one loopback, so this is what is seen of it from afar.
    "the network is away for a moment": _on_the_way(
        f"systemctl stop sshd.service; {_CUT}; sleep 2; systemctl start sshd.service"
    ),
    "sshd is restarted": """
  services.openssh.extraConfig = "MaxAuthTries 7";
  systemd.services.sshd.environment.RELEASE =
    config.systemd.services.withinbot.environment.RELEASE;""",
    "sshd is restarted, with its connections": _on_the_way(
        f"{_CUT}; systemctl restart sshd.service"
    ),
    "nix.conf is another": """
  system.activationScripts.nix-conf = ''
    sed -i '/^max-jobs/d' /etc/nix/nix.conf
    echo "max-jobs = 3" >>/etc/nix/nix.conf
  '';""",
}
"""Releases that pull at what a deployment stands on; a host is to end on them."""
