lib: rec {
  cleanSourceFilter =
    name: type:
    let
      base = baseNameOf (toString name);
    in
    !(
      base == ".git"
      || (type == "directory" && builtins.elem base [ ".svn" "CVS" ".hg" ])
      || lib.hasSuffix "~" base
      || builtins.match "^\\.sw[a-z]$" base != null
      || builtins.match "^\\..*\\.sw[a-z]$" base != null
      || lib.hasSuffix ".o" base
      || lib.hasSuffix ".so" base
      || (type == "symlink" && lib.hasPrefix "result" base)
      || type == "unknown"
    );
  cleanSourceWith =
    {
      src,
      filter ? (_: _: true),
      name ? null,
    }:
    let
      isFiltered = src ? _isLibCleanSourceWith;
      origSrc = if isFiltered then src.origSrc else src;
      filter' = if isFiltered then n: t: filter n t && src.filter n t else filter;
      name' =
        if name != null then
          name
        else if isFiltered then
          src.name
        else
          "source";
    in
    {
      inherit origSrc;
      filter = filter';
      name = name';
      outPath = builtins.path {
        name = name';
        path = origSrc;
        filter = filter';
      };
      _isLibCleanSourceWith = true;
    };
  cleanSource =
    src:
    cleanSourceWith {
      inherit src;
      filter = cleanSourceFilter;
    };
  sourceByRegex =
    src: regexes:
    let
      root = toString (src.origSrc or src) + "/";
    in
    cleanSourceWith {
      inherit src;
      filter =
        path: _: builtins.any (re: builtins.match re (lib.removePrefix root path) != null) regexes;
    };
  sourceFilesBySuffices =
    src: suffixes:
    cleanSourceWith {
      inherit src;
      filter = name: type: type == "directory" || builtins.any (s: lib.hasSuffix s name) suffixes;
    };
  pathType = path: (builtins.readDir (dirOf path)).${baseNameOf path};
  pathIsDirectory = path: builtins.pathExists path && pathType path == "directory";
  pathIsRegularFile = path: builtins.pathExists path && pathType path == "regular";
  filesystem = {
    inherit pathType pathIsDirectory pathIsRegularFile;
    listFilesRecursive =
      dir:
      lib.flatten (
        lib.mapAttrsToList (
          name: type:
          if type == "directory" then lib.filesystem.listFilesRecursive (dir + "/${name}") else dir + "/${name}"
        ) (builtins.readDir dir)
      );
  };
}
