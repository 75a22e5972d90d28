# The machine's own tools as packages: links to /usr/bin and /usr/sbin. What they are the
# links do not say, so a package here has no version of its own.
{
  lib,
  pkgs,
  system,
}:
let
  names = text: builtins.filter (word: builtins.isString word && word != "") (builtins.split "[ \n]+" text);

  # `bin` are the names of programs in the machine's /usr/bin, `sbin` in its /usr/sbin.
  tool =
    name:
    {
      bin ? [ name ],
      sbin ? [ ],
      links ? { },
      mainProgram ? name,
      passthru ? { },
    }:
    let
      link = from: target: "ln -s ${from} \"$out/${target}\"";
      many = dir: programs: "ln -s ${lib.concatMapStringsSep " " (p: "/usr/${dir}/${p}") programs} \"$out/bin/\"";
    in
    derivation {
      inherit name system;
      builder = "/bin/sh";
      PATH = "/usr/bin:/bin";
      args = [
        "-ec"
        (lib.concatLines (
          [ "mkdir -p \"$out/bin\"" ]
          ++ lib.optional (bin != [ ]) (many "bin" bin)
          ++ lib.optional (sbin != [ ]) (many "sbin" sbin)
          ++ lib.mapAttrsToList (
            target: from: "mkdir -p \"$out/${dirOf target}\"; ${link from target}"
          ) links
        ))
      ];
    }
    // passthru
    // {
      pname = name;
      version = "machine";
      meta = {
        inherit mainProgram;
        platforms = lib.platforms.linux;
      };
      inherit passthru;
    };
in
{
  bash = tool "bash" {
    bin = [
      "bash"
      "sh"
    ];
    passthru.shellPath = "/bin/bash";
  };
  bashInteractive = pkgs.bash;
  runtimeShell = "${pkgs.bash}/bin/bash";
  runtimeShellPackage = pkgs.bash;

  coreutils = tool "coreutils" {
    mainProgram = "ls";
    bin = names ''
      [ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown cksum comm cp csplit cut
      date dd df dir dircolors dirname du echo env expand expr factor false fmt fold groups head
      hostid id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl nohup
      nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink realpath rm rmdir runcon
      seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty
      sum sync tac tail tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink
      users vdir wc who whoami yes
    '';
    sbin = [ "chroot" ];
  };
  findutils = tool "findutils" {
    mainProgram = "find";
    bin = [
      "find"
      "xargs"
    ];
  };
  gnugrep = tool "gnugrep" {
    mainProgram = "grep";
    bin = [
      "egrep"
      "fgrep"
      "grep"
    ];
  };
  gnused = tool "gnused" {
    mainProgram = "sed";
    bin = [ "sed" ];
  };
  # Debian's awk may be mawk; it is reached by the one name that every awk has.
  gawk = tool "gawk" {
    mainProgram = "awk";
    bin = [ "awk" ];
  };
  gnutar = tool "gnutar" {
    mainProgram = "tar";
    bin = [ "tar" ];
  };
  gzip = tool "gzip" {
    bin = [
      "gunzip"
      "gzip"
      "zcat"
    ];
  };
  diffutils = tool "diffutils" {
    mainProgram = "diff";
    bin = [
      "cmp"
      "diff"
    ];
  };
  util-linux = tool "util-linux" {
    mainProgram = "mount";
    bin = names "dmesg findmnt flock logger lsblk mount mountpoint nsenter setpriv setsid umount unshare";
    sbin = names "blkid losetup";
  };
  procps = tool "procps" {
    mainProgram = "ps";
    bin = names "free pgrep pkill ps top uptime w";
    sbin = [ "sysctl" ];
  };
  iproute2 = tool "iproute2" {
    mainProgram = "ip";
    bin = [
      "ip"
      "ss"
    ];
  };
  shadow = tool "shadow" {
    mainProgram = "su";
    bin = [
      "passwd"
      "su"
    ];
    sbin = [ "nologin" ];
    passthru.shellPath = "/bin/nologin";
  };
  perl = tool "perl" { passthru.interpreter = "/usr/bin/perl"; };
  python3 = tool "python3" {
    passthru = {
      interpreter = "${pkgs.python3}/bin/python3";
      withPackages =
        choose:
        lib.throwIf (choose { } != [ ]) "python3.withPackages: only Python's own library is there" pkgs.python3;
      pythonVersion = "3";
    };
  };
  systemd = tool "systemd" {
    mainProgram = "systemctl";
    bin = names ''
      busctl journalctl loginctl systemctl systemd-analyze systemd-cat systemd-cgls
      systemd-escape systemd-notify systemd-run systemd-tmpfiles
    '';
    links."lib/systemd/systemd" = "/lib/systemd/systemd";
    passthru.interfaceVersion = 2;
  };
  systemdMinimal = pkgs.systemd;
  openssh = tool "openssh" {
    mainProgram = "ssh";
    bin = names "scp sftp ssh ssh-add ssh-agent ssh-keygen ssh-keyscan";
    sbin = [ "sshd" ];
  };
  git = tool "git" { bin = names "git git-receive-pack git-upload-archive git-upload-pack"; };
  gitMinimal = pkgs.git;
  strace = tool "strace" { };
  bubblewrap = tool "bubblewrap" {
    bin = [ "bwrap" ];
    mainProgram = "bwrap";
  };
  sudo = tool "sudo" { };
  curl = tool "curl" { };
  inotify-tools = tool "inotify-tools" {
    mainProgram = "inotifywait";
    bin = [
      "inotifywait"
      "inotifywatch"
    ];
  };
  nix = tool "nix" {
    bin = names ''
      nix nix-build nix-channel nix-collect-garbage nix-copy-closure nix-daemon nix-env
      nix-hash nix-instantiate nix-prefetch-url nix-shell nix-store
    '';
    passthru.version = "2.8";
  };
  nixVersions.stable = pkgs.nix;
  cacert = tool "cacert" {
    bin = [ ];
    links."etc/ssl/certs/ca-bundle.crt" = "/etc/ssl/certs/ca-certificates.crt";
  };
}
