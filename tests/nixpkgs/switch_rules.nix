# One service for each rule of switching; two values make two systems.
{ value }:
{ lib, ... }:
let
  forever =
    more:
    {
      script = "exec sleep infinity";
      wantedBy = [ "multi-user.target" ];
    }
    // more;
in
{
  systemd.services = {
    same = forever { description = "Told is value ${value}"; };
    stopped = forever { environment.V = value; };
    in-place = forever {
      environment.V = value;
      stopIfChanged = false;
    };
    skipped = forever {
      environment.V = value;
      restartIfChanged = false;
    };
    reloads = forever {
      serviceConfig.ExecReload = "/bin/touch /run/reloads";
      environment.V = value;
      reloadIfChanged = true;
    };
    triggered = forever {
      serviceConfig.ExecReload = "/bin/touch /run/triggered";
      reloadTriggers = [ value ];
    };
    restart-triggered = forever { restartTriggers = [ value ]; };
    "instance@" = {
      script = "exec sleep infinity";
      environment.V = value;
    };
    by-socket = {
      script = "exec sleep infinity";
      environment.V = value;
    };
    old = lib.mkIf (value == "1") (forever { });
    stays = lib.mkIf (value == "1") (forever { unitConfig.X-StopOnRemoval = false; });
    new = lib.mkIf (value == "2") (forever { });
    hidden = forever { enable = value == "1"; };
  };
  systemd.sockets.by-socket = {
    listenStreams = [ "/run/by-socket" ];
    wantedBy = [ "sockets.target" ];
  };
  systemd.mounts = [
    {
      what = "tmpfs";
      where = "/srv/volatile";
      type = "tmpfs";
      mountConfig.SloppyOptions = value == "2";
      wantedBy = [ "multi-user.target" ];
    }
  ];
  environment.etc.told = {
    text = value;
    mode = "0640";
    group = "keys";
  };
  environment.etc."gone-${value}".text = value;
  systemd.tmpfiles.rules = [ "d /var/lib/told-${value} 0750 root keys -" ];
}
