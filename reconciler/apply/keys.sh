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
# A key is written to a new file that only root can reach until it is whole and has its
# owner and mode, and which then takes its place in one step. Nothing is done by path:
# folder.sh, which comes before this, says how. Where others may write to the folder, a
# file that stands there is never changed: a new one takes its place. When the connection
# is cut, standard input ends, and so does this.
set -uf
umask 077
ulimit -c 0
LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
IFS=

say() { printf '%s\n' "$1"; }

fail() {
    say "failed $number $1"
    return 1
}

# Print the lines up to the dot. `read` takes no byte more than a line.
content() {
    while read -r line && [ "$line" != . ]; do say "$line"; done
}

# Enter the folder of the key, and make what is missing of it.
enter_folder() {
    if ! walk "$folder"; then
        fail "$problem: nothing is written there"
    elif [ "${folder#/run/}" != "$folder" ] && ! in_memory; then
        fail "$folder is below /run and not in memory: nothing is written there"
    else
        make_folders
    fi
}

in_memory() {
    case $(stat -f -c %T .) in
        tmpfs | ramfs) ;;
        *) return 1 ;;
    esac
}

# They are root's alone until they are marked and stripped of what others were given.
make_folders() {
    while [ -n "$left" ]; do
        part=${left%%/*}
        problem=$(mkdir -m 0700 -- "./$part" 2>&1) || {
            fail "the folder $here/$part cannot be made: ${problem##*: }"
            return
        }
        fresh "$part" || {
            fail "$problem"
            return
        }
        (: >"./$mark") 2>/dev/null
        chown root:keys . 2>/dev/null # there may be no such group
        chmod 0750 . && look
        here=$here/$part
        case $left in */*) left=${left#*/} ;; *) left='' ;; esac
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

# With a new file open as 3: fill it and see that it is whole.
fill() {
    problem=$(base64 -d 2>&1 >&3)
    [ "$(sha256sum </proc/self/fd/3)" = "$digest  -" ] && return
    case $problem in
        *'No space left'*) fail "no space is left in $folder" ;;
        *) fail 'it did not arrive whole' ;;
    esac
}

# put WORD: have the new file take its place, and say so.
put() {
    if problem=$(place "$name"); then
        say "$1 $number"
    else
        fail "it cannot be put in its place: ${problem##*: }"
    fi
}

write_key() { fill && set_owner 600 && put written; }

# Where others may write to the folder, no file that stands there is changed: it may be a
# second name of somebody else's.
replace_key() {
    [ "$digest" = - ] || fill || return
    set_owner 600 || return
    if [ "$(stat -c '%a %u:%g' "$fresh_file")" = "$(stat -c '%a %u:%g' "$held_file")" ]; then
        say "same $number"
    elif [ "$digest" = - ]; then
        fail "others may write to $folder, and its content is not known"
    else
        put permitted
    fi
}

# With the file that stands open as 3: set owner and mode.
permit_key() {
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
    hold "$name" || return
    [ "$digest" = - ] && return
    [ "$(stat -c %s "$held_file")" = "$size" ] || return # do not read what is huge
    [ "$(sha256sum <"$held_file")" = "$digest  -" ]
}

# anew FUNCTION: with a new file open as 3, which did not exist.
anew() {
    set -C
    told=$(exec 2>&1 && ("$1") 3>"$fresh_file")
    set +C
}

# Write what is missing or differs; else leave the file where it is, so that nobody who
# watches it is disturbed. Standard input is the content.
deliver() {
    enter_folder || return
    trap leave_room EXIT
    trap 'exit 129' HUP INT TERM PIPE
    if ! enter_room; then
        fail "$folder: $problem"
        return
    elif stands; then
        permit
    elif [ -d "../$name" ] && [ ! -L "../$name" ]; then
        fail 'a folder is in its place'
        return
    elif [ "$digest" = - ]; then
        fail 'it is not there, and its content is not known'
        return
    else
        anew write_key
    fi
    case $told in
        written\ * | permitted\ * | same\ * | failed\ * | ownerless\ *) say "$told" ;;
        *) fail "it cannot be opened: ${told##*: }" ;;
    esac
}

permit() {
    if [ "$ours" = yes ]; then
        told=$(exec 2>&1 && (permit_key) 3<"$held_file")
    else
        anew replace_key
    fi
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
