{ lib }:

rec {
  # The files of the roles *names* in *folder*; a role may be a file or a folder.
  roleFiles = folder: names:
    map (name:
      let file = folder + "/${name}.nix";
      in if builtins.pathExists file then file else folder + "/${name}")
      (lib.unique names);

  # A unit that does one thing and is done.
  chore = { description, user ? "root", script }: {
    inherit description script;
    serviceConfig = {
      Type = "oneshot";
      User = user;
    };
  };

  # What all our long-running units share.
  daemon = unit: lib.recursiveUpdate {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = {
      Restart = "always";
      RestartSec = 1;
    };
  } unit;
}
