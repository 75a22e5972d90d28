# What one host should be, or who is known if there is no such host.
{ checkout, layout, sources, host, uuid, deploymentName }:
let
  repository = import ./repository.nix {
    inherit checkout layout sources uuid deploymentName;
  };
in
if builtins.elem host repository.names then
  import ./facts.nix {
    node = repository.node host;
    outside = repository.outside host;
  }
else
  { known = repository.names; }
