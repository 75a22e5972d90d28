# services.reconciler: the daemon, with its settings as options. See docs/install.md.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkEnableOption
    mkIf
    mkMerge
    mkOption
    types
    ;
  cfg = config.services.reconciler;
  format = pkgs.formats.json { };

  # An option that is null is one that the settings file does not have.
  given =
    value:
    if builtins.isAttrs value then
      lib.mapAttrs (_: given) (lib.filterAttrs (_: inner: inner != null) value)
    else if builtins.isList value then
      map given value
    else
      value;
  # JSON is YAML.
  written = format.generate "reconciler.yaml" (given cfg.settings);
  checked = pkgs.runCommand "reconciler.yaml" { } ''
    ${lib.getExe cfg.package} --config ${written} check --only-settings
    cp ${written} "$out"
  '';
  settingsFile = if cfg.checkSettings then checked else written;

  # What the daemon uses once, at its start. All else it takes when it is told to reload:
  # LIVE and FIXED of reconciler/settings/changes.py are the same list.
  atStart =
    builtins.removeAttrs cfg.settings [
      "hosts"
      "policy"
      "webhooks"
      "api"
    ]
    // {
      repository = builtins.removeAttrs cfg.settings.repository [
        "poll"
        "allow_force"
      ];
      policy.parallel = cfg.settings.policy.parallel or null;
    };

  # What a daemon does without that changes no machine but over SSH. In pull mode, what it
  # runs as root is to see and to do what root does at a login: docs/pull.md.
  hardening = {
    CapabilityBoundingSet = "";
    NoNewPrivileges = true;
    ProtectSystem = "strict";
    ProtectHome = true;
    PrivateTmp = true;
    PrivateDevices = true;
    PrivateUsers = true;
    ProtectHostname = true;
    ProtectClock = true;
    ProtectKernelTunables = true;
    ProtectKernelModules = true;
    ProtectKernelLogs = true;
    ProtectControlGroups = true;
    ProtectProc = "invisible";
    RestrictAddressFamilies = [
      "AF_UNIX"
      "AF_INET"
      "AF_INET6"
      "AF_NETLINK"
    ];
    RestrictNamespaces = [
      "user"
      "mnt"
      "pid"
      "net"
      "ipc"
    ];
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    RemoveIPC = true;
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    SystemCallArchitectures = "native";
    SystemCallFilter = [
      "@system-service"
      "~@privileged"
      "@mount capset" # for bubblewrap
      "ptrace process_vm_readv" # for strace
    ];
    SystemCallErrorNumber = "EPERM";
  };

  pushesBy = tool: lib.any (lib.hasPrefix "${tool}:") cfg.settings.cache.push;

  # systemd makes what is below /var/lib, the rest is ours to make.
  state = cfg.settings.state.path;
  database = cfg.settings.state.database;
  stateDirectory = if lib.hasPrefix "/var/lib/" state then lib.removePrefix "/var/lib/" state else null;
in
{
  options.services.reconciler = {
    enable = mkEnableOption "the reconciler, GitOps for NixOS fleets";

    package = mkOption {
      type = types.package;
      default =
        let
          package = pkgs.reconciler or (pkgs.callPackage ./package.nix { });
        in
        if database == null then package else package.override { withPostgreSQL = true; };
      defaultText = lib.literalExpression "pkgs.reconciler";
      description = "The reconciler itself.";
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = format.type;
        options = import ./settings.nix {
          inherit lib;
          freeform = format.type;
        };
      };
      default = { };
      example = lib.literalExpression ''
        {
          repository.url = "git@git.example.org:me/nixos-configs.git";
          nix.path = [ "nixpkgs=''${pkgs.path}" ];
          ssh.identity = "''${config.services.reconciler.credentialsDirectory}/id_ed25519";
          policy.mode = "report";
        }
      '';
      description = ''
        The settings file, as `docs/settings.md` has it. The file ends up in the store,
        which everybody may read: it names the files of secrets and never holds one.
      '';
    };

    pull = {
      enable = mkEnableOption ''
        pull mode: the reconciler runs on the host itself, and deploys nothing but that,
        without SSH. It runs as root
      '';

      host = mkOption {
        type = types.str;
        default = config.networking.hostName;
        defaultText = lib.literalExpression "config.networking.hostName";
        description = "What the repository calls this host.";
      };
    };

    checkSettings = mkOption {
      type = types.bool;
      default = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
      defaultText = lib.literalExpression "pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform";
      description = ''
        Whether the reconciler itself reads the settings while the system is built, so
        that what it would refuse does not get as far as a host.
      '';
    };

    credentials = mkOption {
      type = types.attrsOf (types.strMatching "/.+");
      default = { };
      example = {
        id_ed25519 = "/etc/reconciler/id_ed25519";
      };
      description = ''
        Files for the daemon alone: root need be the only one who can read them. They
        are at `credentialsDirectory` under the names given here while it runs. The path
        is text, so that the file does not become part of the store.
      '';
    };

    credentialsDirectory = mkOption {
      type = types.str;
      default = "/run/credentials/reconciler.service";
      readOnly = true;
      description = "Where the credentials are, for the settings to refer to.";
    };

    path = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.pass pkgs.gnupg ]";
      description = "Packages with the programs that a `keyCommand` or ssh's ProxyCommand runs.";
    };

    user = mkOption {
      type = types.str;
      default = if cfg.pull.enable then "root" else "reconciler";
      defaultText = lib.literalExpression ''if config.services.reconciler.pull.enable then "root" else "reconciler"'';
      description = "Whom the daemon runs as. Another one than these has to be declared elsewhere.";
    };

    group = mkOption {
      type = types.str;
      default = if cfg.pull.enable then "root" else "reconciler";
      defaultText = lib.literalExpression ''if config.services.reconciler.pull.enable then "root" else "reconciler"'';
      description = "The group of that user. Another one than these has to be declared elsewhere.";
    };
  };

  config = mkMerge [
    (mkIf cfg.pull.enable {
      services.reconciler = {
        enable = true;
        settings.repository.entry = [ cfg.pull.host ];
        settings.hosts.${cfg.pull.host}.transport = "local";
      };
    })
    (mkIf cfg.enable {
      environment.systemPackages = [ cfg.package ];
      environment.etc."reconciler/reconciler.yaml".source = settingsFile;

      users.users = mkIf (cfg.user == "reconciler") {
        reconciler = {
          isSystemUser = true;
          description = "GitOps for NixOS fleets";
          home = state;
          group = cfg.group;
        };
      };
      users.groups = mkIf (cfg.group == "reconciler") { reconciler = { }; };

      # Here before the first start, for `reconciler check` and `reconciler trust`.
      systemd.tmpfiles.rules = [ "d ${state} 0700 ${cfg.user} ${cfg.group} -" ];

      systemd.services.reconciler = {
        description = "GitOps for NixOS fleets";
        wantedBy = [ "multi-user.target" ];
        wants = [ "network-online.target" ];
        after = [
          "network-online.target"
          "nix-daemon.socket"
        ]
        ++ lib.optional (database != null) "postgresql.service";
        restartTriggers = [ (format.generate "reconciler-at-start.json" (given atStart)) ];
        reloadTriggers = [ settingsFile ];
        # It may be the one that carries out the switch: then it lives until the end of it.
        stopIfChanged = false;

        # Nix is called as a client of its daemon: only that writes to the store.
        environment.NIX_REMOTE = "daemon";
        path = [
          config.nix.package
          pkgs.gitMinimal
          pkgs.openssh
          pkgs.strace
          pkgs.bubblewrap
        ]
        ++ lib.optional cfg.pull.enable pkgs.util-linux # of root, the cage makes nobody
        ++ lib.optional (cfg.settings.repository.verify.openpgp != [ ]) pkgs.gnupg
        ++ lib.optional (pushesBy "attic") pkgs.attic-client
        ++ lib.optional (pushesBy "cachix") pkgs.cachix
        ++ cfg.path;

        serviceConfig = {
          Type = "notify";
          ExecStart = "${lib.getExe cfg.package} --config /etc/reconciler/reconciler.yaml run";
          ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
          User = cfg.user;
          Group = cfg.group;
          StateDirectory = stateDirectory;
          StateDirectoryMode = "0700";
          ReadWritePaths = mkIf (stateDirectory == null && !cfg.pull.enable) [ state ];
          LoadCredential = lib.mapAttrsToList (name: file: "${name}:${file}") cfg.credentials;
          UMask = "0077";

          # Why each of these is as it is: deploy/systemd/reconciler.service.
          WatchdogSec = "60s";
          Restart = "on-failure";
          RestartSec = "5s";
          KillMode = "mixed";
          TimeoutStopSec = "90s";
          OOMPolicy = "continue";
          MemoryMax = "90%";
          TasksMax = 4096;
          IPAddressDeny = [
            "169.254.169.254"
            "fd00:ec2::254"
          ];
          LimitNOFILE = 16384;
        }
        // lib.optionalAttrs (!cfg.pull.enable) hardening;
      };
    })
  ];
}
