# How to reach them. Also a NixOps network: a second definition of each machine.
{ domain ? "home.arpa", ... }:

let
  at = where: { name, ... }: {
    deployment.targetHost = "${name}.${domain}";
    house.where = where;
  };
in
{
  defaults = { lib, ... }: {
    deployment.targetEnv = "none";
    house.greeter.text = lib.mkOverride 900 "Mind the stairs.";
  };

  attic = at "under the roof";

  cellar = {
    imports = [ (at "below the kitchen") ];
    house.greeter.text = "Mind your head.";
  };
}
