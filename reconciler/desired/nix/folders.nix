# Layout "hosts": one file per host, its name taken from the file's path.
{ root, sources }:
let
  file =
    source: name:
    root + "/${source.prefix}${name}${source.suffix}";
  definition = source: name: {
    inherit name;
    value = [ (file source name) ];
  };
  definitionsOf = source: map (definition source) source.names;
in
{
  definitions = builtins.listToAttrs (builtins.concatMap definitionsOf sources);
  defaults = [ ];
  nixpkgs = <nixpkgs>;
  resources = { };
}
