# Whether the value of a file is a NixOps network: a set of machines, or a function that
# gives one when it is called without arguments. Many files of the same names are modules,
# or another tool's.
{ file }:
let
  value = import (/. + file);

  # What a module, or a file of another tool, is called with; networks have their own.
  ofOthers = [
    "config" "inputs" "lib" "modulesPath" "nixpkgs" "options" "outputs" "pkgs" "self" "utils"
  ];

  arguments = builtins.functionArgs value;
  required = builtins.filter (name: !arguments.${name}) (builtins.attrNames arguments);
  isOthers = builtins.any (name: builtins.elem name ofOthers) required || arguments == { };

  # Of a network whose arguments have no defaults nothing more can be seen.
  called = if builtins.isFunction value then value { } else value;

  # What stands at the top of a module and not of a network.
  ofModules = [
    "_module" "boot" "config" "console" "containers" "documentation" "environment"
    "fileSystems" "fonts" "hardware" "home-manager" "i18n" "imports" "nix" "nixpkgs"
    "options" "programs" "security" "services" "swapDevices" "system" "systemd" "time"
    "users" "virtualisation"
  ];
  ofOtherTools = [ "nodes" "outputs" ];
  machines = removeAttrs called [ "_file" "defaults" "network" "require" "resources" ];

  isMachine =
    value:
    builtins.isFunction value
    || builtins.isPath value
    || (
      builtins.isAttrs value
      && (
        value == { }
        || builtins.any (name: value ? ${name}) (ofModules ++ [ "deployment" "networking" ])
      )
    );
in
if builtins.isFunction value && isOthers then
  false
else if builtins.isFunction value && required != [ ] then
  true
else if !builtins.isAttrs called || (called.type or null) == "derivation" then
  false
else if called ? meta then
  false # a hive
else if called ? network || called ? require then
  true
else
  !builtins.any (name: called ? ${name}) (ofModules ++ ofOtherTools)
  && builtins.any isMachine (builtins.attrValues machines)
