# `activate` and `dry-activate`: snippets in the order that they ask for.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  snippet = types.coercedTo types.str (text: { inherit text; }) (
    types.submodule {
      options = {
        text = mkOption {
          type = types.lines;
          default = "";
          description = "The code.";
        };
        deps = mkOption {
          type = types.listOf types.str;
          default = [ ];
          description = "Snippets that run before.";
        };
        supportsDryActivation = mkOption {
          type = types.bool;
          default = false;
          description = "Whether it looks at NIXOS_ACTION and changes nothing on dry-activate.";
        };
      };
    }
  );

  scripts = config.system.activationScripts;
  ordered =
    scripts:
    let
      comesBefore = a: b: builtins.elem a (scripts.${b}.deps or [ ]);
      missing = lib.concatMap (
        name: map (dep: "${name} needs ${dep}") (builtins.filter (dep: !(scripts ? ${dep})) scripts.${name}.deps)
      ) (builtins.attrNames scripts);
      sorted = lib.toposort comesBefore (builtins.attrNames scripts);
    in
    if missing != [ ] then
      throw "system.activationScripts: there is no such snippet: ${lib.concatStringsSep ", " missing}"
    else
      sorted.result
        or (throw "system.activationScripts: these snippets wait for each other: ${lib.concatStringsSep ", " sorted.cycle}");

  # A snippet that fails does not keep the others from running, but is told.
  guarded = name: text: ''
    #### Activation script snippet ${name}:
    _localstatus=0
    ${text}

    if (( _localstatus > 0 )); then
      printf "Activation script snippet '%s' failed (%s)\n" "${name}" "$_localstatus"
    fi
  '';

  script = isDry: scripts: ''
    #!${pkgs.runtimeShell}

    systemConfig='@out@'

    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    ${lib.optionalString (!isDry) ''
      # Whatever fails makes the whole fail in the end, not at once.
    ''}
    _status=0
    trap "_status=1 _localstatus=\$?" ERR

    # Ensure a consistent umask.
    umask 0022

    ${lib.concatMapStringsSep "\n" (name: guarded name scripts.${name}.text) (ordered scripts)}
    ${lib.optionalString (!isDry) ''
      # Even if something failed: the rest of this system is what runs now.
      ln -sfn "$(readlink -f "$systemConfig")" /run/current-system
    ''}
    exit $_status
  '';
  supportsDry = lib.filterAttrs (_: snippet: snippet.supportsDryActivation) scripts;
  # A snippet that is left out of the dry run is no reason to wait.
  drySnippets = builtins.mapAttrs (
    _: snippet: snippet // { deps = builtins.filter (dep: supportsDry ? ${dep}) snippet.deps; }
  ) supportsDry;
in
{
  options.system = {
    activationScripts = mkOption {
      type = types.attrsOf snippet;
      default = { };
      description = "Code to run when the system is activated: at boot and on every switch.";
    };
    userActivationScripts = mkOption {
      type = types.attrsOf types.raw;
      default = { };
      description = "Inert: hosts have no user managers.";
    };
    activatable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the system can be activated at all.";
    };
  };

  config.system = {
    build.activate = script false scripts;
    build.dryActivate = script true drySnippets;
    activationScripts.var = ''
      mkdir -p /var/empty /var/lib /var/log /tmp
      chmod 0555 /var/empty
      chmod 1777 /tmp
    '';
  };
}
