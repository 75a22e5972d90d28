# The names of the hosts of a repository, without evaluating any of them, and what it has
# that is no NixOS.
{ checkout, layout, sources }:
let
  repository = import ./repository.nix {
    inherit checkout layout sources;
    uuid = "";
    deploymentName = "";
  };
in
{
  inherit (repository) names others unpaired;
}
