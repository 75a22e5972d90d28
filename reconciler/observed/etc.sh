# Files of a system's /etc: see etc_files.py. Arguments: "list" and the system's store
# path; or "texts" and files.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
what=$1
shift
if [ "$what" = list ]; then
  etc=$1/etc
  if [ -f "$1/etcFiles/etcFiles.json" ]; then # of system-manager
    etc=$(sed -n 's/.*"staticEnv":"\([^"]*\)".*/\1/p' "$1/etcFiles/etcFiles.json")
  fi
  if ! cd "$etc" 2>/dev/null; then
    echo absent
    exit 0
  fi
  # Names of units that others pull in lead to files that are listed anyway.
  files=$(
    find -L . -maxdepth 8 \( -name '*.wants' -o -name '*.requires' -o -name '*.upholds' \) \
      -prune -o -type f ! -name '*
*' -print 2>/dev/null | sort
  )
  if [ -n "$files" ]; then
    printf '%s\n' "$files" | sed 's/^/name /'
    printf '%s\n' "$files" | tr '\n' '\0' | xargs -0 readlink -f -- | sed 's/^/file /' || exit 1
  fi
else
  for file; do
    if [ "$(stat -L -c %s -- "$file")" -gt 65536 ]; then
      echo large
    else
      printf 'text %s\n' "$(base64 <"$file" | tr -d '\n')"
    fi
  done
fi
echo end
