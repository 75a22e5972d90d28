# What a system consists of: see closures.py. Arguments: the system's store path.
# Prints paths, sizes and unit files; or "absent" where the system is not here.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
system=$1
if ! nix-store --check-validity "$system" 2>/dev/null; then
  echo absent
  exit 0
fi
paths=$(nix-store --query --requisites "$system") || exit 1
printf '%s\n' "$paths" | sed 's/^/path /'
printf '%s\n' "$paths" | xargs nix-store --query --size | sed 's/^/size /' || exit 1
for file in "$system"/etc/systemd/system/*; do
  [ -f "$file" ] || continue
  printf 'unit %s %s\n' "${file##*/}" "$(readlink -f "$file")"
done
# Of system-manager: its units are named in JSON.
if [ -f "$system/services/services.json" ]; then
  grep -o '"storePath":"[^"]*"' "$system/services/services.json" |
    sed 's/^"storePath":"//; s/"$//; s/\\\\/\\/g' | while IFS= read -r file; do
    printf 'unit %s %s\n' "${file##*/}" "$(readlink -f "$file")"
  done
fi
for part in kernel initrd kernel-modules systemd; do
  if [ -e "$system/$part" ]; then
    printf 'part %s %s\n' "$part" "$(readlink -f "$system/$part")"
  fi
done
echo end
