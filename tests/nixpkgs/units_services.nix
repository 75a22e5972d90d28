# Services with many options set, and a unit of every other kind.
{ pkgs, lib, ... }: {
  systemd.globalEnvironment.EVERYWHERE = "yes";
  systemd.services.plain = {
    description = "A plain service";
    documentation = [ "man:plain(8)" ];
    after = [ "network.target" "other.service" ];
    wants = [ "other.service" ];
    enableDefaultPath = false;
    environment = { GREETING = "it's \"quoted\""; COUNT = 3; NOTHING = null; };
    unitConfig.ConditionPathExists = [ "/a" "/b" ];
    startLimitBurst = 3;
    startLimitIntervalSec = 60;
    serviceConfig = {
      ExecStart = "/bin/true";
      Restart = "always";
      PrivateTmp = true;
      DynamicUser = false;
      ExecStartPre = lib.mkBefore [ "/bin/first" ];
    };
    preStart = "echo before";
    restartTriggers = [ "one" 2 ];
    reloadTriggers = [ "three" ];
  };
  systemd.services.kept = { restartIfChanged = false; script = "true"; };
  systemd.services.reloaded = { reloadIfChanged = true; script = "true"; };
  systemd.services.inPlace = { stopIfChanged = false; script = "true"; };
  systemd.sockets.sock = { listenStreams = [ "/run/a" "80" ]; socketConfig.Accept = true; };
  systemd.timers.tick.timerConfig.OnCalendar = [ "daily" "hourly" ];
  systemd.services.sometimes = { startAt = "daily"; script = "true"; };
  systemd.mounts = [ { what = "tmpfs"; where = "/srv/a-b"; type = "tmpfs"; options = "size=1M"; } ];
  systemd.slices.small.sliceConfig.MemoryMax = "1M";
  systemd.paths.watch.pathConfig.PathExists = "/x";
}
