# The host's name. Addresses, routes and firewalls are accepted and inert: the hosts of the
# fleet share the machine's network.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.networking;
  inert =
    type: default:
    mkOption {
      inherit type default;
      description = "Inert: the hosts share the machine's network.";
    };
  ports = inert (types.listOf types.port) [ ];
  portRanges = inert (types.listOf (types.attrsOf types.port)) [ ];
  addresses = inert (types.listOf (
    types.submodule {
      options = {
        address = mkOption {
          type = types.str;
          description = "The address.";
        };
        prefixLength = mkOption {
          type = types.ints.between 0 128;
          description = "Bits of the network.";
        };
      };
    }
  )) [ ];
  gateway = inert (types.nullOr (types.either types.str (types.attrsOf types.raw))) null;
  firewallPorts = {
    allowedTCPPorts = ports;
    allowedUDPPorts = ports;
    allowedTCPPortRanges = portRanges;
    allowedUDPPortRanges = portRanges;
  };
  interface = types.submodule {
    options = {
      useDHCP = inert (types.nullOr types.bool) null;
      ipv4.addresses = addresses;
      ipv6.addresses = addresses;
      ipv4.routes = inert (types.listOf types.attrs) [ ];
      ipv6.routes = inert (types.listOf types.attrs) [ ];
      macAddress = inert (types.nullOr types.str) null;
      mtu = inert (types.nullOr types.int) null;
      wakeOnLan.enable = inert types.bool false;
    };
  };
in
{
  options.networking = {
    hostName = mkOption {
      type = types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$";
      default = "nixos";
      description = "The host's name, without its domain.";
    };
    domain = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "The host's domain.";
    };
    fqdn = mkOption {
      type = types.str;
      readOnly = true;
      default =
        if cfg.domain != null then
          "${cfg.hostName}.${cfg.domain}"
        else
          throw "The FQDN is required but cannot be determined. Please make sure that both networking.hostName and networking.domain are set properly.";
      defaultText = "the name and the domain";
      description = "The name with the domain.";
    };
    fqdnOrHostName = mkOption {
      type = types.str;
      readOnly = true;
      default = if cfg.domain != null then cfg.fqdn else cfg.hostName;
      defaultText = "the name, with the domain if there is one";
      description = "The name, with the domain if there is one.";
    };
    hostId = inert (types.nullOr types.str) null;

    # /etc/hosts belongs to the machine here: the fleet tool writes it.
    extraHosts = inert types.lines "";
    hosts = inert (types.attrsOf (types.listOf types.str)) { };
    hostFiles = inert (types.listOf types.path) [ ];

    useDHCP = inert types.bool true;
    useNetworkd = inert types.bool false;
    usePredictableInterfaceNames = inert types.bool true;
    enableIPv6 = inert types.bool true;
    nameservers = inert (types.listOf types.str) [ ];
    search = inert (types.listOf types.str) [ ];
    defaultGateway = gateway;
    defaultGateway6 = gateway;
    interfaces = inert (types.attrsOf interface) { };
    bridges = inert (types.attrsOf types.attrs) { };
    vlans = inert (types.attrsOf types.attrs) { };
    wireless = inert types.attrs { };
    networkmanager.enable = inert types.bool false;
    dhcpcd = inert types.attrs { };
    timeServers = inert (types.listOf types.str) [ ];
    nat = inert types.attrs { };
    wireguard = inert types.attrs { };
    nftables.enable = inert types.bool false;
    firewall = firewallPorts // {
      enable = inert types.bool true;
      allowPing = inert types.bool true;
      logRefusedConnections = inert types.bool true;
      trustedInterfaces = inert (types.listOf types.str) [ ];
      interfaces = inert (types.attrsOf (types.submodule { options = firewallPorts; })) { };
      extraCommands = inert types.lines "";
      extraStopCommands = inert types.lines "";
      rejectPackets = inert types.bool false;
      checkReversePath = inert (types.either types.bool (types.enum [ "strict" "loose" ])) true;
    };
  };

  config = {
    environment.etc.hostname = lib.mkIf (cfg.hostName != "") { text = "${cfg.hostName}\n"; };
    system.activationScripts.hostname = lib.mkIf (cfg.hostName != "") ''
      hostname ${lib.escapeShellArg cfg.hostName}
    '';
  };
}
