# Works for hours and must not be interrupted: a new version waits for the next boot.
{ lib, ... }:

let
  house = import ../lib { inherit lib; };
in
{
  systemd.services.worker = house.daemon {
    description = "Worker";
    restartIfChanged = false;
    script = ''
      echo "working"
      exec sleep infinity
    '';
  };
}
