# What clan's inventory says of one machine, outside of its configuration. In 2025 it moved.
{ flake, name }:
let
  inherit (flake) clanInternals;
  machines =
    clanInternals.inventoryClass.inventory.machines or (clanInternals.inventory.machines or { });
  found = {
    address = machines.${name}.deploy.targetHost or null;
    tags = machines.${name}.tags or [ ];
  };
  tried = builtins.tryEval (builtins.deepSeq found found);
  networks = import ./clan-networks.nix { inherit flake name; };
in
if flake ? clanInternals && tried.success then { clan = found // { inherit networks; }; } else { }
