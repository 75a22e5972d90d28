# Layout "hosts": one file per host, its name taken from the file's path.
{ checkout, sources, ... }@arguments:
let
  root = /. + checkout;
  file =
    source: name:
    root + "/${source.prefix}${name}${source.suffix}";
  definition = source: name: {
    inherit name;
    value = [ (file source name) ];
  };
  definitionsOf = source: map (definition source) source.names;
in
import ./network.nix {
  inherit (arguments) uuid deploymentName;
  definitions = builtins.listToAttrs (builtins.concatMap definitionsOf sources);
  defaults = [ ];
  nixpkgs = <nixpkgs>;
  resources = { };
}
