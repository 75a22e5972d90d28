# Copies the inventory aside, every night.
{ lib, ... }:

let
  house = import ../lib { inherit lib; };
in
{
  systemd.services.backup = house.chore {
    description = "Back the inventory up";
    user = "house";
    script = "cp -L /etc/house/inventory.json /var/lib/house/inventory.json";
  };

  systemd.timers.backup = {
    description = "Back the inventory up every night";
    wantedBy = [ "timers.target" ];
    timerConfig = {
      OnCalendar = "03:17";
      Persistent = true;
      RandomizedDelaySec = "5m";
    };
  };
}
