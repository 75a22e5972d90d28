# Layout "flake": the outputs of a flake that hold hosts, each as its own tool reads it.
#   nixosConfigurations   name -> evaluated configuration (nixos-rebuild, and many others)
#   colmenaHive           an evaluated hive
#   colmena               the same, not yet evaluated
#   deploy.nodes          deploy-rs: where a host is and what is put there
#   nixopsConfigurations  a network of NixOps 2, as its attribute `default`
#   clanInternals         clan: where a host of nixosConfigurations is
#   systemConfigs         system-manager: hosts that are not NixOS
# A name that several have is one host; but one of systemConfigs is none, where a NixOS has
# its name.
{ sources, ... }@arguments:
let
  native = builtins.getFlake sources.url;
  ours = import ./call-flake.nix { inherit (sources) tree folder stored replaced; };

  flake =
    if sources.replaced != { } then
      ours
    else if sources.followed then
      # An input gets the flake itself: ours, too, once Nix has found that the lock fits.
      builtins.seq native ours
    else
      import ./own-flake.nix {
        inherit native;
        inherit (sources) folder;
      };

  output =
    name: value:
    if builtins.isAttrs value then
      value
    else
      throw "the flake's ${name} is a ${builtins.typeOf value}, not an attribute set of hosts";

  systems = output "nixosConfigurations" (flake.nixosConfigurations or { });

  evaluatedHive = flake.colmenaHive.nodes or { };

  # Evaluated by us, with our options.
  ownHive =
    if flake ? colmena && !(flake ? colmenaHive) then
      import ./hive.nix {
        inherit (arguments) uuid deploymentName;
        hive = flake.colmena;
        hermetic = true;
      }
    else
      { };

  # NixOps 2 wants one called `default`. What it keeps in its state is not known here: one
  # that asks for arguments is not ours to read, nor one that is none.
  ofNixops = flake.nixopsConfigurations.default or null;
  needsNothing = builtins.all (optional: optional) (
    builtins.attrValues (builtins.functionArgs ofNixops)
  );
  called = if builtins.isFunction ofNixops then ofNixops { } else ofNixops;
  isNetwork = (!builtins.isFunction ofNixops || needsNothing) && builtins.isAttrs called;
  hasNetwork = flake ? nixopsConfigurations && (builtins.tryEval isNetwork).value;
  network =
    if hasNetwork then
      import ./nixops.nix {
        inherit (arguments) uuid deploymentName;
        inherit (sources) system;
        networks = [ (called // { _file = "nixopsConfigurations.default"; }) ];
        folder = flake.outPath;
        given = { };
        flake =
          called.nixpkgs
            or (throw "nixopsConfigurations.default has no attribute nixpkgs, the flake that it is evaluated with");
      }
    else
      { names = [ ]; };

  # Of deploy-rs, only what has a NixOS: it also deploys users' profiles, and others.
  isOther = name: !(systems ? ${name}) && (flake ? darwinConfigurations.${name} || managed.has name);
  nodesOfAll = flake.deploy.nodes or { };
  deployed = removeAttrs nodesOfAll (
    builtins.filter (name: isOther name || !(nodesOfAll.${name} ? profiles.system)) (
      builtins.attrNames nodesOfAll
    )
  );

  # The NixOS that a profile's activation wrapper is made of: buildEnv keeps the paths that
  # it joins, before 2025 as JSON.
  wrapped =
    path:
    if path ? paths then
      builtins.head path.paths
    else if path ? pkgs then
      builtins.head (builtins.head (builtins.fromJSON (plain path.pkgs))).paths
    else
      path;
  outPathOf = system: "${system.outPath or system}";
  # Of a store path what follows its hash.
  nameOf = system: system.name or (builtins.substring 33 (-1) (baseNameOf (outPathOf system)));
  plain = builtins.unsafeDiscardStringContext;

  # Names first: they take less to evaluate. One that does not evaluate is none of theirs.
  sameSystem =
    system: candidate:
    let
      inherit (systems.${candidate}.config.system.build) toplevel;
      isIt = plain (nameOf system) == toplevel.name && plain (outPathOf system) == plain toplevel.outPath;
      tried = builtins.tryEval isIt;
    in
    tried.success && tried.value;

  # Which of the configurations a node deploys; null if it is none of them. Mostly it has
  # the same name; else it is looked for, which evaluates the others too.
  madeOf =
    name:
    let
      system = wrapped deployed.${name}.profiles.system.path;
      candidates = (if systems ? ${name} then [ name ] else [ ]) ++ builtins.attrNames (
        removeAttrs systems [ name ]
      );
      found = builtins.filter (sameSystem system) candidates;
    in
    # Where its own does not evaluate, that is to be told.
    builtins.seq (outPathOf system) (if found == [ ] then null else builtins.head found);

  systemOf =
    name:
    let
      found = madeOf name;
    in
    if found == null then
      throw "deploy.nodes.${name}.profiles.system.path is the system of none of the flake's nixosConfigurations: what is in it cannot be read; one that is no NixOS is left out by repository.exclude"
    else
      systems.${found};

  nodes = builtins.mapAttrs (name: _: systemOf name) deployed;
  theirs = systems // nodes // evaluatedHive;
  named =
    names:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = null;
      }) names
    );
  nixos = theirs // ownHive // named network.names;

  managed = import ./system-manager.nix {
    configs = output "systemConfigs" (flake.systemConfigs or { });
  };
  isManaged = name: managed.has name && !(nixos ? ${name});
  isHidden = builtins.any (name: nixos ? ${name}) managed.names;
in
{
  names = builtins.attrNames (nixos // named managed.names);
  node =
    name:
    ownHive.${name} or (
      if isManaged name then
        managed.node name
      else if theirs ? ${name} then
        import ./extended.nix {
          inherit (arguments) uuid deploymentName;
          inherit name;
          node = theirs.${name};
        }
      else
        network.node name
    );
  inherit madeOf;
  # Each of those may be what one of these is made of: one host by two names.
  unpaired = {
    nodes = builtins.attrNames (removeAttrs deployed (builtins.attrNames systems));
    systems = builtins.attrNames (removeAttrs systems (builtins.attrNames deployed));
  };
  others =
    builtins.filter (name: flake ? ${name}) [
      "darwinConfigurations" "homeConfigurations" "confctl"
    ]
    ++ (if isHidden then [ "systemConfigs" ] else [ ])
    ++ (if flake ? nixopsConfigurations && !hasNetwork then [ "nixopsConfigurations" ] else [ ]);
  outside =
    name:
    import ./clan-inventory.nix { inherit flake name; }
    // (
      if deployed ? ${name} || (isManaged name && nodesOfAll ? ${name}) then
        import ./deploy-rs.nix {
          inherit (flake) deploy;
          node = nodesOfAll.${name};
        }
      else
        { }
    );
}
