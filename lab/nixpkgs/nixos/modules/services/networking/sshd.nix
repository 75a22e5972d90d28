# sshd: the machine's, with a configuration from the store.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.openssh;
  option =
    type: default: description:
    mkOption { inherit type default description; };

  value =
    v:
    if builtins.isBool v then
      (if v then "yes" else "no")
    else if builtins.isList v then
      lib.concatMapStringsSep "," toString v
    else
      toString v;
  listenLine =
    l:
    let
      host = if lib.hasInfix ":" l.addr then "[${l.addr}]" else l.addr;
    in
    "ListenAddress ${host}${lib.optionalString (l.port != null) ":${toString l.port}"}\n";

  sshdConfig = pkgs.writeText "sshd.conf-settings" ''
    ${lib.concatMapStrings (port: "Port ${toString port}\n") cfg.ports}${lib.concatMapStrings listenLine cfg.listenAddresses}${
      lib.concatMapStrings (key: "HostKey ${key.path}\n") cfg.hostKeys
    }AuthorizedKeysFile ${toString cfg.authorizedKeysFiles}
    PidFile none
    SetEnv PATH=/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    ${lib.optionalString cfg.allowSFTP "Subsystem sftp internal-sftp"}
    ${lib.concatStrings (
      lib.mapAttrsToList (name: v: "${name} ${value v}\n") (lib.filterAttrs (_: v: v != null) cfg.settings)
    )}
    ${cfg.extraConfig}
  '';
in
{
  imports = [
    (lib.mkRenamedOptionModule
      [ "services" "openssh" "permitRootLogin" ]
      [ "services" "openssh" "settings" "PermitRootLogin" ]
    )
    (lib.mkRenamedOptionModule
      [ "services" "openssh" "passwordAuthentication" ]
      [ "services" "openssh" "settings" "PasswordAuthentication" ]
    )
    (lib.mkRenamedOptionModule
      [ "services" "openssh" "kbdInteractiveAuthentication" ]
      [ "services" "openssh" "settings" "KbdInteractiveAuthentication" ]
    )
    (lib.mkRenamedOptionModule
      [ "services" "openssh" "challengeResponseAuthentication" ]
      [ "services" "openssh" "settings" "KbdInteractiveAuthentication" ]
    )
  ];

  options.services.openssh = {
    enable = option types.bool false "Whether sshd runs.";
    ports = option (types.listOf types.port) [ 22 ] "The ports.";
    # The hosts of a fleet share the machine's loopback network, so that each must listen on
    # its own address. NixOS's default is every address.
    listenAddresses = option (types.listOf (
      types.submodule {
        options = {
          addr = option types.str config.networking.hostName "The address.";
          port = option (types.nullOr types.port) null "The port; all ports if null.";
        };
      }
    )) [ { addr = config.networking.hostName; } ] "The addresses; by default the host's own.";
    hostKeys = option (types.listOf types.attrs) [
      {
        type = "ed25519";
        path = "/etc/ssh/ssh_host_ed25519_key";
      }
    ] "The host keys; a missing one is made.";
    authorizedKeysFiles = option (types.listOf types.str) [ ] "Files of the keys that may log in.";
    allowSFTP = option types.bool true "Whether sftp is served.";
    openFirewall = option types.bool true "Inert: hosts have no firewall.";
    startWhenNeeded = option types.bool false "Inert: sshd always runs.";
    banner = option (types.nullOr types.lines) null "Inert.";
    extraConfig = option types.lines "" "Further lines of the configuration.";
    settings = mkOption {
      default = { };
      description = "The configuration.";
      type = types.submodule {
        freeformType = types.attrsOf (
          types.nullOr (
            types.oneOf [
              types.bool
              types.int
              types.str
              (types.listOf types.str)
            ]
          )
        );
        options = {
          PermitRootLogin = option (types.nullOr (
            types.enum [
              "yes"
              "without-password"
              "prohibit-password"
              "forced-commands-only"
              "no"
            ]
          )) "prohibit-password" "Whether root may log in.";
          PasswordAuthentication = option (types.nullOr types.bool) true "Whether passwords are asked for.";
          KbdInteractiveAuthentication = option (types.nullOr types.bool) true "Whether questions are asked.";
          X11Forwarding = option (types.nullOr types.bool) false "Whether X11 is forwarded.";
          UsePAM = option (types.nullOr types.bool) true "Whether PAM is asked.";
          UseDns = option (types.nullOr types.bool) false "Whether clients are looked up.";
        };
      };
    };
  };
  # Accepted and inert: clients of the hosts are the machine's.
  options.programs.ssh = option (types.attrsOf types.anything) { } "Inert.";

  config = lib.mkIf cfg.enable {
    users.users.sshd = {
      isSystemUser = true;
      group = "sshd";
      description = "SSH privilege separation user";
    };
    users.groups.sshd = { };
    services.openssh.authorizedKeysFiles = lib.mkMerge [
      [ "%h/.ssh/authorized_keys" ]
      (lib.mkAfter [ "/etc/ssh/authorized_keys.d/%u" ])
    ];

    environment.etc."ssh/sshd_config".source = sshdConfig;
    environment.systemPackages = [ pkgs.openssh ];

    systemd.services.sshd = {
      description = "SSH Daemon";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      path = [ pkgs.openssh ];
      # A switch must not cut the connection that it came over.
      stopIfChanged = false;
      restartTriggers = [ sshdConfig ];
      preStart = ''
        mkdir -p -m 0755 /run/sshd /etc/ssh
      ''
      + lib.concatMapStrings (key: ''
        if ! [ -s ${lib.escapeShellArg key.path} ]; then
            rm -f ${lib.escapeShellArg key.path}
            ssh-keygen -q -t ${key.type} ${lib.optionalString (key ? bits) "-b ${toString key.bits}"} -f ${lib.escapeShellArg key.path} -N ""
        fi
      '') cfg.hostKeys;
      serviceConfig = {
        ExecStart = "/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config";
        ExecReload = "/bin/kill -HUP $MAINPID";
        KillMode = "process";
        Restart = "always";
      };
    };
  };
}
