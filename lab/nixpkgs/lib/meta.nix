lib: rec {
  getExe =
    pkg:
    getExe' pkg (
      pkg.meta.mainProgram
        or (lib.warn "getExe: ${pkg.name} does not say its meta.mainProgram; its own name is taken, which may be wrong."
          (lib.getName pkg)
        )
    );
  getExe' = pkg: program: "${lib.getBin pkg}/bin/${program}";

  addMetaAttrs = new: drv: drv // { meta = (drv.meta or { }) // new; };
  appendToName =
    suffix: drv:
    drv
    // {
      name = "${drv.name}-${suffix}";
    };
  setPrio = priority: addMetaAttrs { inherit priority; };
  lowPrio = setPrio 10;
  hiPrio = setPrio (-10);
  dontDistribute = drv: addMetaAttrs { hydraPlatforms = [ ]; } drv;
  availableOn =
    platform: pkg:
    !(pkg ? meta.platforms)
    || builtins.elem (platform.system or platform) pkg.meta.platforms;
}
