# Units that are masked, aliased, templates, or additions to somebody else's.
{ pkgs, ... }: {
  systemd.packages = [
    (pkgs.writeTextDir "lib/systemd/system/packaged.service" "[Service]\nExecStart=/bin/true\n")
  ];
  systemd.services.packaged.environment.ADDED = "1";
  systemd.services.masked = { enable = false; wantedBy = [ "multi-user.target" ]; };
  systemd.services.aliased = {
    aliases = [ "other-name.service" ];
    wantedBy = [ "multi-user.target" ];
    requiredBy = [ "graphical.target" ];
    script = "true";
  };
  systemd.services."many@" = { script = "true"; };
  systemd.services."many@one" = { overrideStrategy = "asDropin"; environment.ONE = "1"; };
  systemd.services.systemd-journald.serviceConfig.Nice = 1;
}
