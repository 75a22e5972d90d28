# A flake that leaves a trace where it asks which commit it is. All but that is as Nix has
# it: `native`, what `getFlake` returns, brings the inputs; `folder` is where in its tree
# the flake is.
{ native, folder }:
let
  place = "${native.sourceInfo.outPath}${if folder == "." then "" else "/${folder}"}";
  flake = import "${place}/flake.nix";

  source = import ./watched.nix native.sourceInfo;
  outputs = flake.outputs (native.inputs // { inherit self; });
  self =
    outputs
    // source
    // {
      inherit (native) inputs outPath;
      inherit outputs;
      sourceInfo = source;
    }
    // (if native ? _type then { inherit (native) _type; } else { });
in
self
