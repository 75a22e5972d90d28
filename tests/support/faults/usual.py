"""
Releases as people push them: what NixOS and its users do every day.

Those in `USUAL` look odd to who deploys them, and are good; those in `CUT_OFF` take
away the way by which the host is reached.
"""

from tests.support.faults.releases import SERVICE, service

USUAL = {
    "a job that stops another service for a while": service(f"""
    after = [ "{SERVICE}" ];
    serviceConfig.Type = "oneshot";
    script = "systemctl stop {SERVICE}; sleep 2; systemctl start {SERVICE}";"""),
}
"""Releases that a host is to end on."""

CUT_OFF = {
    "there is no sshd any more": "services.openssh.enable = lib.mkForce false;",
    "root may not log in any more": """
  services.openssh.settings.PermitRootLogin = lib.mkForce "no";""",
}
"""Releases that a host is to be taken back from."""
