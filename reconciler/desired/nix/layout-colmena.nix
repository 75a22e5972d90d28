# Layout "colmena": a hive in a file of its own.
{ checkout, sources, uuid, deploymentName }:
let
  nodes = import ./hive.nix {
    inherit uuid deploymentName;
    hive = import (/. + checkout + "/${sources.file}");
    hermetic = false;
  };
in
{
  names = builtins.attrNames nodes;
  node = name: nodes.${name};
}
