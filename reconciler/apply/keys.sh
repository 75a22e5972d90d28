# Deliver keys: files that hold secrets. POSIX sh; GNU or busybox tools.
#
# Everything comes through standard input and nothing is ever an argument or in the
# environment: what other programs are given are paths, owners and modes. For each key
# ten lines, FOLDER absolute and without "." or "..":
#
#   key / NUMBER / FOLDER / NAME / USER / GROUP / MODE in octal / SIZE / SHA-256
#
# then its content in base64, in any number of lines, and a line with a dot. With "-" as
# SHA-256 there is no content, and only owner and mode are set. The last line of all is
# "end". The answer has a line for each key, N being its NUMBER:
#
#   written N | permitted N | same N | failed N REASON
#
# and before that, "ownerless N REASON" where USER or GROUP is not known here: such a key
# belongs to root, who alone may read it. "done" comes if all was read to its end.
#
# A key is written to a new file beside it, which only root can read until it is whole
# and has its owner and mode, and which then takes its place in one step. Owner and mode
# are set through the open file (/proc/self/fd), so that whoever may write to the folder
# cannot slip us another one. When the connection is cut, standard input ends, and so
# does this.
set -uf
umask 077
ulimit -c 0
LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
IFS=
mark=.reconciler-made # in the folders that we made; keys-remove.sh looks for it

say() { printf '%s\n' "$1"; }

fail() {
    say "failed $number $1"
    return 1
}

# Print the lines up to the dot. `read` takes no byte more than a line.
content() {
    while read -r line && [ "$line" != . ]; do say "$line"; done
}

# Find the nearest folder that exists, and refuse one that is not what it seems.
check_folder() {
    near=$folder
    until [ -e "$near" ] || [ -L "$near" ]; do
        near=${near%/*} near=${near:-/}
    done
    real=$(readlink -f -- "$near")
    # /var/run leads to /run on every NixOS, and is not meant.
    if [ "${near#/var/run}" != "$near" ] && [ "$near" = "/var$real" ]; then
        folder=$real${folder#"$near"} near=$real
    fi
    if [ "$real" != "$near" ]; then
        fail "$folder leads elsewhere, to ${real:-nowhere}: nothing is written there"
    elif [ ! -d "$near" ]; then
        fail "$near is not a folder"
    elif [ "${folder#/run/}" != "$folder" ] && ! in_memory; then
        fail "$folder is below /run and not in memory: nothing is written there"
    fi
}

in_memory() {
    case $(stat -f -c %T -- "$near") in
        tmpfs | ramfs) ;;
        *) return 1 ;;
    esac
}

# Make what is missing between $near and $folder.
make_folders() {
    while [ "$near" != "$folder" ]; do
        rest=${folder#"${near%/}"/}
        near=${near%/}/${rest%%/*}
        problem=$(mkdir -- "$near" 2>&1) || {
            fail "the folder $near cannot be made: ${problem##*: }"
            return
        }
        (: >"$near/$mark") 2>/dev/null
        chown root:keys -- "$near" 2>/dev/null # there may be no such group
        chmod 0750 -- "$near"
    done
}

# Give the file that is open as 3, and has the mode $1, its owner and mode. On the way
# it can be read by nobody who may not read it before and after.
set_owner() {
    narrow=$(printf %o $((0$1 & 0$mode)))
    if [ "$narrow" != "$1" ]; then chmod "$narrow" /proc/self/fd/3 || return; fi
    if problem=$(chown -- "$user:$group" /proc/self/fd/3 2>&1); then
        chmod "$mode" /proc/self/fd/3
        return
    fi
    case $problem in
        *nvalid\ user* | *nknown\ user*) say "ownerless $number there is no user $user" ;;
        *nvalid\ group* | *nknown\ group*) say "ownerless $number there is no group $group" ;;
        *)
            fail "its owner cannot be set: ${problem##*: }"
            return
            ;;
    esac
    chown 0:0 /proc/self/fd/3 && chmod 0600 /proc/self/fd/3
}

# With a new file open as 3: fill it, see that it is whole, and put it in its place.
write_key() {
    problem=$(base64 -d 2>&1 >&3)
    if [ "$(sha256sum </proc/self/fd/3)" != "$digest  -" ]; then
        case $problem in
            *'No space left'*) fail "no space is left in $folder" ;;
            *) fail 'it did not arrive whole' ;;
        esac
        return
    fi
    set_owner 600 || return
    if problem=$(mv -T -- "$temp" "$file" 2>&1); then
        say "written $number"
    else
        fail "it cannot be put in its place: ${problem##*: }"
    fi
}

# With the file that stands open as 3: set owner and mode.
permit_key() {
    if [ -L "$file" ] || [ ! "$file" -ef /proc/self/fd/3 ]; then
        fail 'it changed while it was looked at'
        return
    fi
    before=$(stat -L -c '%a %u:%g' /proc/self/fd/3)
    set_owner "${before%% *}" || return
    if [ "$(stat -L -c '%a %u:%g' /proc/self/fd/3)" = "$before" ]; then
        say "same $number"
    else
        say "permitted $number"
    fi
}

# Whether the file has the right content already, or none is known.
stands() {
    [ -f "$file" ] && [ ! -L "$file" ] || return
    [ "$digest" = - ] && return
    [ "$(stat -c %s -- "$file")" = "$size" ] || return # do not read what is huge
    [ "$(sha256sum <"$file")" = "$digest  -" ]
}

# Write what is missing or differs; else leave the file where it is, so that nobody who
# watches it is disturbed. Standard input is the content.
deliver() {
    check_folder && make_folders || return
    file=$folder/$name
    temp=$folder/.$name.reconciler.tmp
    set +f
    rm -f -- "$folder"/.*.reconciler.tmp # of a run that was killed
    set -f
    if stands; then
        told=$(exec 2>&1 && (permit_key) 3<"$file")
    elif [ -d "$file" ] && [ ! -L "$file" ]; then
        fail "a folder is in its place"
        return
    elif [ "$digest" = - ]; then
        fail 'it is not there, and its content is not known'
        return
    else
        trap 'rm -f -- "$temp"' EXIT
        trap 'exit 129' HUP INT TERM PIPE
        set -C # open only a file that does not exist
        told=$(exec 2>&1 && (write_key) 3>"$temp")
        set +C
    fi
    case $told in
        written\ * | permitted\ * | same\ * | failed\ * | ownerless\ *) say "$told" ;;
        *) fail "it cannot be opened: ${told##*: }" ;;
    esac
}

while read -r word && [ "$word" = key ]; do
    read -r number && read -r folder && read -r name && read -r user &&
        read -r group && read -r mode && read -r size && read -r digest || exit 1
    content | { # a shell of its own; whatever becomes of the key, take all that is its
        (deliver)
        cat >/dev/null
    }
done
if [ "${word-}" = end ]; then say 'done'; fi
