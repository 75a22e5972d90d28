# The same machines as a NixOps network:
#
#   nixops create network.nix -d within
#   nixops deploy -d within
{
  network.description = "within's machines";

  defaults = {
    # They share a house, or a good line to it: copying beats compressing.
    deployment.hasFastConnection = true;
  };

  chrysalis = {
    imports = [ ./hosts/chrysalis/configuration.nix ];
    deployment.targetHost = "chrysalis";
    deployment.tags = [ "house" "always-on" ];
  };

  keanu = {
    imports = [ ./hosts/keanu/configuration.nix ];
    deployment.targetHost = "keanu";
    deployment.tags = [ "house" ];
  };

  lufta = {
    imports = [ ./hosts/lufta/configuration.nix ];
    deployment.targetHost = "lufta";
    deployment.tags = [ "rented" ];
  };
}
