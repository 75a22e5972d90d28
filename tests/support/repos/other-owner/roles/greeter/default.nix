# Says its text to the journal. A new text is taken over with a reload, not a restart.
{ config, lib, ... }:

let
  house = import ../../lib { inherit lib; };
  cfg = config.house.greeter;
in
{
  options.house.greeter = {
    text = lib.mkOption {
      type = lib.types.str;
      description = "What to say.";
    };
    quiet = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Say it once only.";
    };
  };

  config = {
    environment.etc."house/greeting".text = "${cfg.text}\n";

    systemd.services.greeter = house.daemon {
      description = "Greeter";
      reloadTriggers = [ config.environment.etc."house/greeting".source ];
      environment.QUIET = lib.boolToString cfg.quiet;
      serviceConfig.ExecReload = "/bin/sh -c 'kill -HUP $MAINPID'";
      serviceConfig.User = "house";
      script = builtins.readFile ./greeter.sh;
    };
  };
}
