# What one host should be, or who is known if there is no such host. `called` is JSON: what
# the repository may call it, which is not what we call it where the settings rename it.
{ checkout, layout, sources, host, called, uuid, deploymentName }:
let
  repository = import ./repository.nix {
    inherit checkout layout sources uuid deploymentName;
    alone = name;
  };
  found = builtins.filter repository.has (builtins.fromJSON called);
  name = builtins.head found;
in
if found != [ ] then
  import ./facts.nix {
    node = repository.node name;
    outside = repository.outside name;
  }
else
  { known = repository.names; }
