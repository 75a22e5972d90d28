# Layout "attribute": an attribute of a file, whose values are evaluated systems or modules.
{ checkout, sources, uuid, deploymentName }:
let
  called = value: if builtins.isFunction value then value { } else value;
  step =
    value: name:
    if called value ? ${name} then
      called (called value).${name}
    else
      throw "${sources.file} has no attribute ${name}: see repository.entry";
  hosts = builtins.foldl' step (import (/. + checkout + "/${sources.file}")) sources.path;

  isSystem = value: builtins.isAttrs value && value ? config && value ? options;

  networked = import ./network.nix {
    inherit uuid deploymentName;
    definitions = builtins.mapAttrs (
      _: value: if builtins.isList value then value else [ value ]
    ) hosts;
    defaults = [ ];
    nixpkgs = <nixpkgs>;
    resources = { };
  };
in
{
  names = builtins.attrNames hosts;
  node =
    name:
    if isSystem hosts.${name} then
      import ./extended.nix {
        inherit name uuid deploymentName;
        node = hosts.${name};
      }
    else
      networked.node name;
}
