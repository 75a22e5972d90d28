# What deploy-rs says of one node; without a profile `system`, where it is. A profile's settings win over the node's, those over
# the deployment's; sshOpts add up, and ssh keeps the first of two values.
{ deploy, node }:
let
  profile = node.profiles.system or { };
  levels = [ profile node deploy ];
  first =
    name: default:
    let
      having = builtins.filter (level: level ? ${name}) levels;
    in
    if having == [ ] then default else (builtins.head having).${name};
in
{
  deploy = {
    address = node.hostname;
    user = first "sshUser" null;
    profileUser = first "user" null;
    sudo = first "sudo" "sudo -u";
    sshOpts = builtins.concatMap (level: level.sshOpts or [ ]) levels;
    fastConnection = first "fastConnection" false;
    remoteBuild = first "remoteBuild" false;
    magicRollback = first "magicRollback" true;
    confirmTimeout = first "confirmTimeout" null;
    activationTimeout = first "activationTimeout" null;
    otherProfiles = builtins.filter (name: name != "system") (
      builtins.attrNames (node.profiles or { })
    );
  };
}
