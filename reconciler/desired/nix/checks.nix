# The type of `deployment.healthChecks`: what must work on a host before it may keep a new
# system. Those of morph are read as they are; `tcp`, `from`, `status` and `within` are
# ours. What no type here can tell is checked where the facts are read (checks.py).
{ lib }:
let
  inherit (lib) mkOption types;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  required = type: description: mkOption { inherit type description; };

  number = types.either types.int types.float;

  common = from: {
    description = option types.str "" "What is checked, for people.";
    from = option (types.enum [ "host" "reconciler" ]) from "Where it is tried.";
    period = option number 2 "Seconds from one try to the next.";
    timeout = option number 5 "Seconds that one try may take; 0: as long as there are.";
    within = option number 30 "Seconds in which it must have passed once.";
  };

  address = {
    host = option (types.nullOr types.str) null ''
      Name or address to connect to. Default: the one that the host is deployed at, or
      localhost if it is tried on the host.
    '';
    port = required types.int "Port to connect to.";
  };

  http =
    common "reconciler"
    // address
    // {
      scheme = option (types.enum [ "http" "https" ]) "http" "How to speak to it.";
      path = option types.str "/" "What to ask for.";
      headers = option (types.attrsOf types.str) { } "What to say with it; no secrets.";
      insecureSSL = option types.bool false "Whether to accept any certificate.";
      status = option (types.either types.int (types.listOf types.int)) [ ] ''
        The answers that are good. Default: 200 to 399. Redirects are not followed.
      '';
    };

  tcp = common "reconciler" // address;

  command = common "host" // {
    command = option (types.nullOr (types.listOf types.str)) null ''
      Program and arguments; good if it exits with status 0. No shell is involved.
    '';
    cmd = option (types.nullOr (types.listOf types.str)) null "The same.";
  };

  listOf =
    options: description:
    option (types.listOf (types.submodule { inherit options; })) [ ] description;

  commandsOf = checks: (checks.command or [ ]) ++ (checks.cmd or [ ]);
  argvOf = check: if check.command != null then check.command else check.cmd;

  oneCommand = check: {
    assertion = (check.command == null) != (check.cmd == null);
    message = "deployment.healthChecks.command: exactly one of command and cmd must be set, and it is not where the description is ${builtins.toJSON check.description}.";
  };

  fileOf =
    pkgs: commands:
    let
      named = builtins.filter builtins.hasContext (builtins.concatMap argvOf commands);
    in
    if named == [ ] then
      [ ]
    else
      [ (pkgs.writeText "health-check-programs" (lib.concatStringsSep "\n" named)) ];

  plain = builtins.unsafeDiscardStringContext;

  commonFacts = check: {
    inherit (check) from period timeout within;
    description = plain check.description;
  };

  addressFacts = check: {
    inherit (check) port;
    host = if check.host == null then null else plain check.host;
  };

  httpFacts =
    check:
    commonFacts check
    // addressFacts check
    // {
      inherit (check) insecureSSL scheme;
      path = plain check.path;
      headers = builtins.mapAttrs (_: plain) check.headers;
      status = if builtins.isList check.status then check.status else [ check.status ];
    };
in
{
  options = {
    http = listOf http "Requests that must be answered.";
    tcp = listOf tcp "Ports that must accept connections.";
    command = listOf command "Commands that must succeed.";
    cmd = listOf command "The same, by morph's name.";
  };

  assertionsFor = checks: map oneCommand (commandsOf checks);

  # Commands may name programs by their store paths, which must then be on the host.
  programsOf = pkgs: checks: fileOf pkgs (commandsOf checks);

  # The same of those that are run where the reconciler is: there, whoever builds the rest.
  programsHere =
    pkgs: checks:
    fileOf pkgs (builtins.filter (check: check.from == "reconciler") (commandsOf checks));

  factsOf = checks: {
    http = map httpFacts (checks.http or [ ]);
    tcp = map (check: commonFacts check // addressFacts check) (checks.tcp or [ ]);
    command = map (
      check: commonFacts check // { command = map plain (argvOf check); }
    ) (commandsOf checks);
  };
}
