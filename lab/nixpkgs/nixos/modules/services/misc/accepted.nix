# Services that many hosts turn on and that a container on a shared machine has no use for:
# accepted, so that such a host evaluates, and inert.
{ lib, ... }:
let
  accepted = lib.mkOption {
    type = lib.types.submodule {
      freeformType = lib.types.attrsOf lib.types.anything;
      options.enable = lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = "Inert.";
      };
    };
    default = { };
    description = "Accepted and inert: no such service runs on a host of the fleet.";
  };
in
{
  options.services = lib.genAttrs [
    "avahi"
    "chrony"
    "cron"
    "dbus"
    "fail2ban"
    "fstrim"
    "fwupd"
    "getty"
    "haveged"
    "nscd"
    "ntp"
    "qemuGuest"
    "resolved"
    "smartd"
    "tailscale"
    "timesyncd"
    "udev"
    "xserver"
  ] (_: accepted);
  options.documentation = accepted;
  options.virtualisation = lib.mkOption {
    type = lib.types.attrsOf lib.types.anything;
    default = { };
    description = "Accepted and inert.";
  };
}
