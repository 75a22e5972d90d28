# Users and groups. Those of the image that nobody declares stay as they are.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.users;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  secret = option (types.nullOr (types.passwdEntry types.str)) null;

  user = types.submodule (
    { name, config, ... }:
    {
      options = {
        name = option (types.passwdEntry types.str) name "The name.";
        enable = option types.bool true "Whether the user is made.";
        description = option (types.passwdEntry types.str) "" "The full name.";
        uid = option (types.nullOr types.int) null "The number; a free one if null.";
        isSystemUser = option types.bool false "Whether it is a service's user.";
        isNormalUser = option types.bool false "Whether it is a person's user.";
        group = option types.str "" "The primary group.";
        extraGroups = option (types.listOf types.str) [ ] "Further groups.";
        home = option (types.passwdEntry types.path) "/var/empty" "The home directory.";
        homeMode = option (types.strMatching "[0-7]{1,5}") "700" "The permissions of the home directory.";
        createHome = option types.bool false "Whether the home directory is made.";
        useDefaultShell = option types.bool false "Whether the shell is users.defaultUserShell.";
        shell =
          option (types.nullOr (types.either types.shellPackage (types.passwdEntry types.path))) pkgs.shadow
            "The login shell.";
        packages = option (types.listOf types.package) [ ] "Packages of this user.";
        hashedPassword = secret "The password's hash.";
        initialHashedPassword = secret "The password's hash when the user is made.";
        password = secret "Inert: hash it.";
        initialPassword = secret "Inert: hash it.";
        hashedPasswordFile = option (types.nullOr types.str) null "A file that holds the password's hash.";
        expires = option (types.nullOr types.str) null "Inert.";
        linger = option types.bool false "Inert: hosts have no user managers.";
        subUidRanges = option (types.listOf types.attrs) [ ] "Inert.";
        subGidRanges = option (types.listOf types.attrs) [ ] "Inert.";
        autoSubUidGidRange = option types.bool false "Inert.";
        openssh.authorizedKeys = {
          keys = option (types.listOf types.singleLineStr) [ ] "Public keys that may log in.";
          keyFiles = option (types.listOf types.path) [ ] "Files of public keys that may log in.";
        };
      };
      config = lib.mkMerge [
        (lib.mkIf config.isNormalUser {
          group = lib.mkDefault "users";
          createHome = lib.mkDefault true;
          home = lib.mkDefault "/home/${config.name}";
          useDefaultShell = lib.mkDefault true;
        })
        (lib.mkIf config.useDefaultShell { shell = lib.mkDefault cfg.defaultUserShell; })
      ];
    }
  );
  group = types.submodule (
    { name, ... }:
    {
      options = {
        name = option (types.passwdEntry types.str) name "The name.";
        gid = option (types.nullOr types.int) null "The number; a free one if null.";
        members = option (types.listOf (types.passwdEntry types.str)) [ ] "The members.";
      };
    }
  );

  users = builtins.filter (u: u.enable) (builtins.attrValues cfg.users);
  members =
    group:
    lib.unique (
      group.members ++ map (u: u.name) (builtins.filter (u: builtins.elem group.name u.extraGroups) users)
    );
  number = n: if n == null then "" else toString n;
  flag = b: if b then "1" else "";
  orEmpty = s: if s == null then "" else toString s;
  # A line for each, fields between tabs: what update-users.pl reads.
  userLine =
    u:
    lib.concatStringsSep "\t" [
      "user"
      u.name
      (number u.uid)
      u.group
      u.description
      u.home
      (if u.shell == null then "" else utils.toShellPath u.shell)
      (flag u.isSystemUser)
      (flag u.createHome)
      u.homeMode
      (orEmpty u.hashedPassword)
      (orEmpty u.initialHashedPassword)
      (orEmpty u.hashedPasswordFile)
    ];
  groupLine =
    g:
    lib.concatStringsSep "\t" [
      "group"
      g.name
      (number g.gid)
      (lib.concatStringsSep "," (members g))
    ];
  spec = pkgs.writeText "users-groups" (
    "mutable\t${flag cfg.mutableUsers}\n"
    + lib.concatLines (map groupLine (builtins.attrValues cfg.groups) ++ map userLine users)
  );

  keysOf =
    u:
    u.openssh.authorizedKeys.keys ++ map lib.fileContents u.openssh.authorizedKeys.keyFiles;
in
{
  options.users = {
    users = option (types.attrsOf user) { } "The users.";
    groups = option (types.attrsOf group) { } "The groups.";
    mutableUsers = option types.bool true "Whether users that nobody declares stay.";
    enforceIdUniqueness = option types.bool true "Whether two users may not have one number.";
    allowNoPasswordLogin = option types.bool true "Inert: hosts are reached by key.";
    defaultUserShell = option (types.either types.path types.shellPackage) pkgs.bash "The shell of people.";
    motd = option (types.nullOr types.lines) null "Inert.";
  };
  imports = [
    (lib.mkAliasOptionModule [ "users" "extraUsers" ] [ "users" "users" ])
    (lib.mkAliasOptionModule [ "users" "extraGroups" ] [ "users" "groups" ])
  ];

  config = {
    users.users = {
      root = {
        uid = 0;
        description = "System administrator";
        home = "/root";
        shell = lib.mkDefault cfg.defaultUserShell;
        group = "root";
      };
      nobody = {
        uid = 65534;
        isSystemUser = true;
        description = "Unprivileged account (don't use!)";
        group = "nogroup";
      };
    };
    users.groups = {
      root.gid = 0;
      # NixOS gives it 1, which is the image's `daemon`.
      wheel = { };
      keys.gid = 96;
      users.gid = 100;
      nogroup.gid = 65534;
    };

    system.activationScripts.users = lib.stringAfter [ "groups" ] ''
      echo "updating users and groups..."
      /usr/bin/perl ${./update-users.pl} ${spec}
    '';
    # One script makes both; the name is for those who want to come after it.
    system.activationScripts.groups = "";

    environment.etc =
      lib.mapAttrs' (
        _: u:
        lib.nameValuePair "ssh/authorized_keys.d/${u.name}" {
          # sshd refuses a file that others may write, and the store is not theirs to check.
          mode = "0444";
          text = lib.concatLines (keysOf u);
        }
      ) (lib.filterAttrs (_: u: u.enable && keysOf u != [ ]) cfg.users)
      // lib.mapAttrs' (
        _: u:
        lib.nameValuePair "profiles/per-user/${u.name}" {
          source = pkgs.buildEnv {
            name = "user-environment";
            paths = u.packages;
          };
        }
      ) (lib.filterAttrs (_: u: u.packages != [ ]) cfg.users);

    assertions =
      lib.concatMap (u: [
        {
          assertion = u.group != "";
          message = "users.users.${u.name}.group is unset. This used to default to nogroup, but this is unsafe. For example you can create a group for this user with:\nusers.users.${u.name}.group = \"${u.name}\";\nusers.groups.${u.name} = {};";
        }
        {
          assertion =
            u.name == "root" || (u.isNormalUser != u.isSystemUser) || (u.uid != null && u.uid < 1000);
          message = "Exactly one of users.users.${u.name}.isSystemUser and users.users.${u.name}.isNormalUser must be set.";
        }
      ]) users
      ++ lib.optionals cfg.enforceIdUniqueness (
        lib.mapAttrsToList (uid: owners: {
          assertion = builtins.length owners == 1;
          message = "UIDs must be unique: ${uid} is given to ${lib.concatMapStringsSep ", " (u: u.name) owners}";
        }) (builtins.groupBy (u: toString u.uid) (builtins.filter (u: u.uid != null) users))
      );
  };
}
