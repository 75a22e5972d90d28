# `init`: the first process of a host, which activates the system and becomes systemd.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  options.boot = {
    postBootCommands = lib.mkOption {
      type = lib.types.lines;
      default = "";
      description = "Commands to run just before systemd is started.";
    };
    systemdExecutable = lib.mkOption {
      type = lib.types.str;
      default = "/lib/systemd/systemd";
      internal = true;
      description = "What to become.";
    };
  };

  config.system.build.bootStage2 = pkgs.writeScript "stage-2-init.sh" ''
    #!/bin/sh
    # stage-2 of @systemConfig@
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    systemConfig=@systemConfig@
    mkdir -p /run
    ln -sfn "$systemConfig" /run/booted-system
    echo "running activation script..."
    # A snippet that fails must not keep the machine from booting.
    "$systemConfig/activate" || echo "stage-2-init: activation failed with status $?"
    ${config.boot.postBootCommands}
    echo "starting systemd..."
    exec ${config.boot.systemdExecutable} "$@"
  '';
}
