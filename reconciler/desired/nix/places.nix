# Where a host is and as whom it is reached, by everything that may say so, the surest
# first. What one leaves open, the next may say. The settings, which win over all, and
# rules for the rest are not Nix's: see codec.py.
{ node, outside }:
let
  inherit (node) config;

  deployment = config.deployment or { };
  ports = config.services.openssh.ports or [ ];
  firstPort = if ports == [ ] then null else builtins.head ports;

  plain = value: if builtins.isString value then builtins.unsafeDiscardStringContext value else value;

  # Some values throw where nobody set them: networking.fqdn without a domain.
  orNull =
    value:
    let
      tried = builtins.tryEval value;
    in
    if tried.success then plain tried.value else null;

  place = from: fields: { inherit from; } // fields;
  when = condition: value: if condition then [ value ] else [ ];

  nixinate = node._module.args.nixinate or null;
  lollypops = config.lollypops.deployment.ssh or null;
  clan = config.clan.core.networking.targetHost or null;
  # Of clan's networks, the internet is where everybody gets; others take a member.
  onInternet = network: builtins.match "(.*/)?internet" network.service != null;
  networks = outside.clan.networks or [ ];
  ofNetwork =
    network:
    place "clan's network ${network.instance}" {
      address = plain network.address;
      inherit (network) port;
      user = plain network.user;
    };
  unified = config.nixos-unified.sshTarget or null;
in
{
  hostName = orNull (config.networking.hostName or null);
  fqdn = orNull (config.networking.fqdn or null);
  port = firstPort;
  # Of morph's: nobody can reach it, and no rule says where it is.
  nowhere = deployment.buildOnly or false == true;
  places = if deployment.buildOnly or false == true then [ ] else
    when (outside ? deploy) (
      place "deploy.nodes" {
        inherit (outside.deploy) address user profileUser sudo sshOpts;
      }
    )
    ++ when (outside.clan.address or null != null) (
      place "clan's inventory" { target = plain outside.clan.address; }
    )
    ++ map ofNetwork (builtins.filter onInternet networks)
    ++ when (deployment.targetHost or null != null) (
      place "deployment.targetHost" {
        address = plain deployment.targetHost;
      }
    )
    # Without an address they still say as whom.
    ++ when (deployment != { }) (
      place "deployment" {
        port = deployment.targetPort or null;
        user = plain (deployment.targetUser or null);
        escalation = map plain (deployment.privilegeEscalationCommand or [ "sudo" "-H" "--" ]);
        sshOpts = map plain (deployment.sshOptions or [ ]);
      }
    )
    ++ when (clan != null) (place "clan.core.networking.targetHost" { target = plain clan; })
    ++ when (lollypops != null && lollypops ? host) (
      place "lollypops.deployment.ssh.host" {
        address = plain lollypops.host;
        user = plain (lollypops.user or null);
        sshOpts = map plain (lollypops.opts or [ ]);
      }
    )
    ++ when (unified != null) (place "nixos-unified.sshTarget" { target = plain unified; })
    ++ when (nixinate != null && nixinate ? host) (
      place "nixinate" {
        address = plain nixinate.host;
        user = plain (nixinate.sshUser or null);
        port = nixinate.port or null;
      }
    )
    ++ map ofNetwork (builtins.filter (network: !(onInternet network)) networks);
}
