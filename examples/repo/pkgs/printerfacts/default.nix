{ python3, stdenv }:

stdenv.mkDerivation {
  pname = "printerfacts";
  version = "1.2.0";

  src = ./printerfacts.py;

  dontUnpack = true;
  dontBuild = true;

  installPhase = ''
    mkdir -p $out/bin
    sed '1s|^#!.*|#!${python3}/bin/python3|' $src > $out/bin/printerfacts
    chmod 0755 $out/bin/printerfacts
  '';
}
