# A flake with some of its inputs replaced: `getFlake` cannot do that. Whatever the lock
# says stays, but for where the source of those comes from: their own inputs are the locked
# ones too, and `follows` counts.
#   tree       what fetchTree takes, of the flake itself
#   folder     where in it the flake is
#   stored     node of the lock -> what is known of its tree, of those that are in the
#              store: `getFlake` finds them there itself, fetchTree may fetch or hash them
#   replaced   input ("private", "a/b" for an input of an input) -> the same, or a reference
{ tree, folder, stored, replaced }:
let
  rootSource = import ./watched.nix (builtins.fetchTree tree);

  # What is in the store is taken as it is: it has that hash, or it would not be there.
  ofStore =
    known:
    removeAttrs known [ "path" ]
    // {
      outPath = builtins.path {
        inherit (known) path;
        name = "source";
        sha256 = known.narHash;
      };
    }
    // (if known ? rev then { shortRev = builtins.substring 0 7 known.rev; } else { });
  sourceFor = place: if builtins.isString place then builtins.fetchTree place else ofStore place;
  below = if folder == "." then "" else "/${folder}";

  file = "${rootSource}${below}/flake.lock";
  lock =
    if builtins.pathExists file then
      known (builtins.fromJSON (builtins.readFile file))
    else
      throw "the flake has no flake.lock, which nix.inputs replaces parts of: run `nix flake lock`, commit";

  # What a newer one means nobody here knows.
  known =
    read:
    if builtins.elem read.version [ 5 6 7 ] then
      read
    else
      throw "lock file of the flake has unsupported version ${toString read.version}: nix.inputs cannot replace parts of it";

  # Which node an input is: the name of one, or a path of inputs from the root.
  nodeOf = spec: if builtins.isList spec then follow lock.root spec else spec;
  follow = builtins.foldl' (node: input: nodeOf lock.nodes.${node}.inputs.${input});

  replacedNode =
    name:
    let
      step =
        node: input:
        if node != null && lock.nodes.${node} ? inputs.${input} then
          nodeOf lock.nodes.${node}.inputs.${input}
        else
          null;
      words = builtins.filter builtins.isString (builtins.split "/" name);
      found = builtins.foldl' step lock.root words;
    in
    if found == null then
      throw "flake.lock has no input ${name}, which nix.inputs in the settings replaces"
    else
      found;

  named = builtins.listToAttrs (
    map (input: {
      name = replacedNode input;
      value = sourceFor replaced.${input};
    }) (builtins.attrNames replaced)
  );

  # Since 2.26 an input may be a folder of the flake that names it.
  isInside =
    node:
    node ? parent
    && (node.locked.type or "") == "path"
    && builtins.substring 0 1 node.locked.path != "/";

  sourceOf =
    key: node:
    if key == lock.root then
      rootSource
    else if named ? ${key} then
      named.${key}
    else if isInside node then
      let
        parent = sourceOf (follow lock.root node.parent) lock.nodes.${follow lock.root node.parent};
      in
      parent // { outPath = "${parent}/${node.locked.path}"; }
    else if stored ? ${key} then
      ofStore stored.${key}
    else
      builtins.fetchTree (removeAttrs node.locked [ "dir" ]);

  # Before, the folder was no part of it.
  knowsFolders = builtins.compareVersions builtins.nixVersion "2.14" >= 0;

  nodes = builtins.seq (builtins.attrNames named) builtins.mapAttrs (
    key: node:
    let
      source = sourceOf key node;
      inside =
        if key == lock.root then
          below
        else if named ? ${key} || !(node.locked ? dir) then
          ""
        else
          "/${node.locked.dir}";
      flake = import "${source}${inside}/flake.nix";
      inputs = builtins.mapAttrs (_: spec: nodes.${nodeOf spec}) (node.inputs or { });
      outputs = flake.outputs (inputs // { self = result; });
      result =
        outputs
        // source
        // {
          inherit inputs outputs;
          sourceInfo = source;
          _type = "flake";
        }
        // (if knowsFolders then { outPath = "${source}${inside}"; } else { });
    in
    if node.flake or true then result else source
  ) lock.nodes;
in
nodes.${lock.root}
