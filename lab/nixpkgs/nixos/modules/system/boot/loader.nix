# The boot loader of a fleet's host is one link, /boot/default, to the toplevel that boots
# next. What grub and systemd-boot would be told is accepted and inert.
{
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  inert =
    type: default:
    mkOption {
      inherit type default;
      description = "Inert: the boot loader of a host is a link.";
    };
in
{
  options.boot.loader = {
    grub = inert (types.submodule {
      freeformType = types.attrsOf types.anything;
      options.enable = inert types.bool false;
    }) { };
    systemd-boot = inert (types.submodule {
      freeformType = types.attrsOf types.anything;
      options.enable = inert types.bool false;
    }) { };
    generic-extlinux-compatible.enable = inert types.bool false;
    raspberryPi = inert (types.attrsOf types.anything) { };
    efi = {
      canTouchEfiVariables = inert types.bool false;
      efiSysMountPoint = inert types.str "/boot";
    };
    timeout = inert (types.nullOr types.int) 5;
    external = {
      enable = inert types.bool false;
      installHook = inert (types.nullOr types.path) null;
    };
  };
  options.system.boot.loader.id = mkOption {
    type = types.str;
    default = "link";
    internal = true;
    description = "Which boot loader it is.";
  };

  # Called with the toplevel. A rename replaces the link in one step: a crash leaves the old
  # one or the new one.
  config.system.build.installBootLoader = pkgs.writeShellScript "install-link.sh" ''
    set -e
    PATH=/usr/bin:/bin
    mkdir -p /boot
    ln -sfn "$1" /boot/.default.new
    mv -T /boot/.default.new /boot/default
  '';
}
