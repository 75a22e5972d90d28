# Accepted and inert: nothing of it has a meaning on hosts that share the machine's kernel and
# reach no certificate authority.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inert = mkOption {
    type = types.attrsOf types.anything;
    default = { };
    description = "Accepted and inert.";
  };
in
{
  options.security = {
    acme = inert;
    apparmor = inert;
    audit = inert;
    auditd = inert;
    pam = inert;
    pki = inert;
    polkit = inert;
    rtkit = inert;
    wrappers = inert;
    protectKernelImage = mkOption {
      type = types.bool;
      default = false;
      description = "Inert.";
    };
  };
}
