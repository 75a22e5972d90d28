{ config, lib, pkgs, ... }:

let
  house = import ../lib { inherit lib; };
in
{
  options.house.where = lib.mkOption {
    type = lib.types.str;
    description = "Where in the house the machine stands.";
  };

  config = {
    services.openssh.enable = true;

    users.groups.house.gid = 400;
    users.users.house = {
      uid = 400;
      group = "house";
      isSystemUser = true;
    };

    systemd.tmpfiles.rules = [ "d /var/lib/house 0755 house house -" ];

    # Written at every boot; nothing is left running.
    systemd.services.house-stamp = house.chore {
      description = "Note the boot";
      user = "house";
      script = "date -u > /var/lib/house/booted";
    } // {
      wantedBy = [ "multi-user.target" ];
    };
  };
}
