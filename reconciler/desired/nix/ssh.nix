# Who gets in to a host over SSH, and where: what a commit could lock us out by. What some
# nixpkgs does not have counts as not said.
{ config, lib }:
let
  plain = builtins.unsafeDiscardStringContext;

  openssh = config.services.openssh or { };
  firewall = config.networking.firewall or { };

  ports = openssh.ports or [ ];
  addresses = openssh.listenAddresses or [ ];
  portsAt = address: if (address.port or null) == null then ports else [ address.port ];

  # null where it cannot be told: no firewall, or more of one than a list of ports.
  openPorts =
    let
      interfaces = builtins.attrValues (firewall.interfaces or { });
      ranges =
        (firewall.allowedTCPPortRanges or [ ])
        ++ builtins.concatMap (one: one.allowedTCPPortRanges or [ ]) interfaces;
      trusted = lib.subtractLists [ "lo" ] (firewall.trustedInterfaces or [ ]);
      rules = (firewall.extraCommands or "") + (firewall.extraInputRules or "");
    in
    if !(firewall.enable or false) || ranges != [ ] || trusted != [ ] || rules != "" then
      null
    else
      (firewall.allowedTCPPorts or [ ])
      ++ builtins.concatMap (one: one.allowedTCPPorts or [ ]) interfaces
      ++ lib.optionals (openssh.openFirewall or false) ports;

  authorized = user: user.openssh.authorizedKeys or { };
  keysOf =
    user:
    ((authorized user).keys or [ ])
    ++ builtins.concatMap (file: lib.splitString "\n" (builtins.readFile file)) (
      (authorized user).keyFiles or [ ]
    );

  # Those that build for Nix let nobody in.
  people = lib.filterAttrs (name: _: builtins.match "nixbld[0-9]+" name == null) (
    config.users.users or { }
  );
in
{
  enabled = openssh.enable or false;
  ports = lib.unique (
    if addresses == [ ] then ports else builtins.concatMap portsAt addresses
  );
  inherit openPorts;
  rootLogin = openssh.settings.PermitRootLogin or (openssh.permitRootLogin or null);
  hostKeys = map (key: plain "${key.type} ${toString key.path}") (openssh.hostKeys or [ ]);
  # Without a server NixOS reads none of the files, which may not even be there.
  logins = lib.optionalAttrs (openssh.enable or false) (
    builtins.mapAttrs (_: user: map plain (keysOf user)) people
  );
}
