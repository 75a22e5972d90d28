# Says which of the store paths below this host lacks, then "free BLOCKS SIZE" of its
# store. Changes nothing. The paths come with the script: as arguments they would be
# longer than one may be.
PATH=/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$PATH:/nix/var/nix/profiles/default/bin
LC_ALL=C
export PATH LC_ALL
xargs -n 500 nix-store --check-validity --print-invalid <<'PATHS' || exit 1
@paths@
PATHS
stat -f -c 'free %a %S' /nix/store
