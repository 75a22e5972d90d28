# Remove keys that are no longer declared, and the folders that we made and that are
# empty now. POSIX sh. The arguments are paths, absolute and without "." or "..".
#
# The answer has a line for each, N being its place, from 0:
#
#   removed N | gone N | failed N REASON
#
# and "done" at the end. Only regular files go, and only where their folder is what it
# seems: anything else was put there by somebody else.
set -uf
LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
IFS=
mark=.reconciler-made

say() { printf '%s\n' "$1"; }

remove() {
    folder=${file%/*}
    if [ ! -d "$folder" ]; then
        say "gone $number"
        return
    fi
    real=$(readlink -f -- "$folder")
    if [ "$real" != "$folder" ] && [ "/var$real" != "$folder" ]; then
        say "failed $number its folder leads elsewhere, to $real"
    elif [ -L "$file" ] || { [ -e "$file" ] && [ ! -f "$file" ]; }; then
        say "failed $number something else than a file is in its place"
    elif [ ! -e "$file" ]; then
        say "gone $number"
    elif problem=$(rm -f -- "$file" 2>&1); then
        say "removed $number"
    else
        say "failed $number ${problem##*: }"
    fi
    remove_folders "$real"
}

# Remove a folder that we made and that holds nothing, then the one above it.
remove_folders() {
    next=$1
    while [ -f "$next/$mark" ]; do
        # A killed delivery may have left its own.
        (set +f && rm -f -- "$next"/.*.reconciler.tmp)
        [ "$(ls -A -- "$next")" = "$mark" ] || return
        rm -f -- "$next/$mark" && rmdir -- "$next" || return
        next=${next%/*}
    done
}

number=0
for file; do
    remove
    number=$((number + 1))
done 2>/dev/null
say 'done'
