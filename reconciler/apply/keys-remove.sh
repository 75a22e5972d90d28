# Remove keys that are no longer declared, and the folders that we made and that are
# empty now. POSIX sh. The arguments are paths, absolute and without "." or "..".
#
# The answer has a line for each, N being its place, from 0:
#
#   removed N | gone N | failed N REASON
#
# and "done" at the end. Only regular files go, and only where their folder is what it
# seems: anything else was put there by somebody else. folder.sh comes before this.
set -uf
LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
IFS=

say() { printf '%s\n' "$1"; }

remove() {
    folder=${file%/*} name=${file##*/}
    if ! walk "$folder"; then
        say "failed $number $problem"
        return
    elif [ -n "$left" ]; then
        say "gone $number"
        return
    fi
    if [ -L "./$name" ] || { [ -e "./$name" ] && [ ! -f "./$name" ]; }; then
        say "failed $number something else than a file is in its place"
    elif [ ! -e "./$name" ]; then
        say "gone $number"
    elif problem=$(rm -f -- "./$name" 2>&1); then
        say "removed $number"
    else
        say "failed $number ${problem##*: }"
    fi
    remove_folders
}

# Remove the current folder if we made it and it holds nothing, then the one above it.
remove_folders() {
    while [ -f "./$mark" ]; do
        sweep # a killed delivery may have left its own
        [ "$(ls -A .)" = "$mark" ] || return
        rm -f -- "./$mark" && walk "${folder%/*}" && [ -z "$left" ] || return
        rmdir -- "./${folder##*/}" || return
        folder=${folder%/*}
    done
}

number=0
for file; do
    remove
    number=$((number + 1))
done 2>/dev/null
say 'done'
