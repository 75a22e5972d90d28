"""
Releases as people push them: what NixOS and its users do every day.

Those in `USUAL` look odd to who deploys them, and are good; those in `CUT_OFF` take
away the way by which the host is reached.
"""

from tests.support.faults.releases import SERVICE, service

ONE_SHOT_OF_A_PACKAGE = """
  systemd.packages = [ (pkgs.runCommand "packaged" { } ''
    mkdir -p $out/lib/systemd/system
    cat >$out/lib/systemd/system/packaged.service <<END_OF_UNIT
    [Service]
    Type=oneshot
    ExecStart=/bin/sh -c "exit 0"
    END_OF_UNIT
  '') ];
  # All that the configuration itself says of it is a drop-in.
  systemd.services.packaged = {
    wantedBy = [ "multi-user.target" ];
    environment.LIKE = "systemd-sysctl";
  };"""

USUAL = {
    "a one-shot that a package brings": ONE_SHOT_OF_A_PACKAGE,
    "a service that has done its work and ends well": service("""
    serviceConfig.Restart = "on-failure";
    script = "sleep 0.2";"""),
    "a service that works in rounds": service("""
    serviceConfig.Restart = "always";
    serviceConfig.RestartSec = "1s";
    startLimitIntervalSec = 0;
    script = "sleep 0.2";"""),
    "a unit that nobody wants and that has no program": """
  systemd.services.nobody.environment.A = "1";""",
    "a timer that fires once": service('script = "exec sleep infinity";')
    + """
  systemd.services.once = { serviceConfig.Type = "oneshot"; script = "true"; };
  systemd.timers.once = {
    wantedBy = [ "timers.target" ];
    timerConfig = { OnActiveSec = "100ms"; RemainAfterElapse = false; };
  };""",
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
