# Every service of ours. A host turns on what it wants in one block:
#
#   within.services = {
#     withinbot.enable = true;
#     printerfacts.enable = true;
#   };
{
  imports = [
    ./printerfacts.nix
    ./withinbot.nix
  ];

  # The services' accounts share this group, so that one may read what another
  # leaves readable for it.
  users.groups.within = { };

  # The parent of the services' homes. It has to exist with this mode of its own: the
  # accounts' `createHome` would make it with the mode of the first home in it.
  systemd.tmpfiles.rules = [ "d /srv/within 0755 root within -" ];
}
