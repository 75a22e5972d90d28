{
  lib,
  stdenv,
  runtimeShell,
  greeting ? "Hello, world!",
}:
stdenv.mkDerivation {
  pname = "hello";
  version = "1.0";
  src = ./hello.sh;
  dontUnpack = true;
  inherit greeting runtimeShell;
  installPhase = ''
    runHook preInstall
    mkdir -p $out/bin
    substitute $src $out/bin/hello --subst-var runtimeShell --subst-var greeting
    chmod +x $out/bin/hello
    runHook postInstall
  '';
  meta = {
    description = "Greets whoever runs it";
    license = lib.licenses.mit;
    mainProgram = "hello";
    platforms = lib.platforms.linux;
  };
}
