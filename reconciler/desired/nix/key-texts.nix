# The texts of some keys of one host; null for one that is not set. Their values are
# secrets: whoever evaluates this keeps what Nix prints to himself.
{ checkout, layout, sources, host, called, uuid, deploymentName, names }:
let
  repository = import ./repository.nix {
    inherit checkout layout sources uuid deploymentName;
  };
  name = builtins.head (
    builtins.filter (name: builtins.elem name repository.names) (builtins.fromJSON called)
  );
  inherit ((repository.node name).config.deployment) keys;
  textOf = name: {
    inherit name;
    value = keys.${name}.text;
  };
in
builtins.listToAttrs (map textOf (builtins.fromJSON names))
