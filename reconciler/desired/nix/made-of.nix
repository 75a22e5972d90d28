# Which of a flake's configurations a node of deploy-rs deploys, or null.
{ checkout, layout, sources, host }:
let
  repository = import ./repository.nix {
    inherit checkout layout sources;
    uuid = "";
    deploymentName = "";
  };
in
repository.madeOf host
