# What each of some store paths needs: see closures.py. Arguments: the paths.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
for path in "$@"; do
  printf 'of %s\n' "$path"
  nix-store --query --requisites "$path" || exit 1
done
echo end
