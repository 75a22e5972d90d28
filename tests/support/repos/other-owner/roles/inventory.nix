# What is in the house, on every machine of it: asks the other machines' configuration.
{ lib, nodes, ... }:

{
  environment.etc."house/inventory.json".text = builtins.toJSON
    (lib.mapAttrs (_: node: node.config.house.where) nodes);

  environment.etc."house/private.conf" = {
    text = "key = value\n";
    mode = "0440";
    group = "house";
  };
}
