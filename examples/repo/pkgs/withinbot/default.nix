{ python3, stdenv }:

stdenv.mkDerivation {
  pname = "withinbot";
  version = "1.4.0";

  src = ./withinbot.py;

  dontUnpack = true;
  dontBuild = true;

  installPhase = ''
    mkdir -p $out/bin
    sed '1s|^#!.*|#!${python3}/bin/python3|' $src > $out/bin/withinbot
    chmod 0755 $out/bin/withinbot
  '';
}
