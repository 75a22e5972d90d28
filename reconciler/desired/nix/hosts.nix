# The names of the hosts of a repository, without evaluating any of them.
{ checkout, layout, sources }:
(import ./repository.nix {
  inherit checkout layout sources;
  uuid = "";
  deploymentName = "";
}).names
