# `import <nixpkgs> { }`: the package set, and the library as its `lib`.
{
  system ? builtins.currentSystem or "x86_64-linux",
  localSystem ? system,
  crossSystem ? null,
  config ? { },
  overlays ? [ ],
}:
let
  lib = import ./lib;
  systemName = localSystem.system or localSystem;

  overlayList =
    if builtins.isList overlays then
      overlays
    else
      throw "The overlays argument to nixpkgs must be a list of overlays.";
  # `config` may itself ask for the packages; which names they have depends on it, so it
  # stands outside of their fixed point.
  finalConfig = {
    allowUnfree = false;
    allowUnfreePredicate = _: false;
  }
  // (if lib.isFunction config then config { inherit pkgs lib; } else config);

  machine =
    final:
    import ./pkgs/top-level.nix {
      inherit lib;
      pkgs = final;
      system = systemName;
    }
    // {
      _type = "pkgs";
      inherit lib;
      config = finalConfig;
      overlays = overlayList;
      system = systemName;
      path = ./.;
      pkgs = final;
      appendOverlays =
        more:
        import ./. {
          inherit config localSystem;
          overlays = overlayList ++ more;
        };
      extend = overlay: final.appendOverlays [ overlay ];
    };
  packageOverrides = _: finalConfig.packageOverrides or (_: { });
  pkgs = lib.fix (
    lib.foldl' (lib.flip lib.extends) machine ([ packageOverrides ] ++ overlayList)
  );
in
assert lib.assertMsg (
  crossSystem == null
) "This package set uses the machine's own tools; it cannot build for another platform.";
pkgs
