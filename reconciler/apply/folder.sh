# Work in folders that somebody else may write. Comes before the scripts that need it.
#
# Whoever may write to a folder can put a link in the place of whatever is in it, between
# any two of our steps. So nothing is done by path here: a folder is entered one part at
# a time and looked at after it was entered, and being the current one it stays the same,
# whatever becomes of its name. In it we make a *room*, a new folder that only root may
# enter, and only there is a file opened, or given another owner or mode. A file comes
# into the room as a second link to it, and leaves it by a rename, which follows no link.

mark=.reconciler-made  # in the folders that we made; keys-remove.sh looks for it
fresh_file=./reconciler-new # these two are in a room
held_file=./reconciler-held
newline='
'

# The folder that is the current one: its device and inode, owner and mode; the one above.
at='' above=''
look() {
    seen=$(stat -c '%d:%i %u %A' .. . 2>/dev/null) || return
    above=${seen%%"$newline"*} at=${seen#*"$newline"}
    above=${above%% *}
}

# into NAME: enter a folder of the current one; fails if it is not that.
into() {
    from=${at%% *}
    cd -P "./$1" 2>/dev/null && look && [ "$above" = "$from" ]
}

# Whether nobody but root can take away what is in the current folder, or also add to it.
is_kept() { case ${at#* } in 0\ d????-??-?* | 0\ d????????[tT]) ;; *) return 1 ;; esac }
is_roots() { case ${at#* } in 0\ d????-??-?*) ;; *) return 1 ;; esac }
is_roots_alone() { case ${at#* } in 0\ drwx--[-S]---*) ;; *) return 1 ;; esac }

# walk FOLDER: enter it, as far as it is there; $left is what is not. $ours says whether
# it and all above it are root's, so that nobody else can swap it. Fails with $problem.
walk() {
    left=${1#/} ours=yes here='' problem="$1 changed while it was entered"
    # /var/run leads to /run on every NixOS, and is not meant.
    case $left/ in var/run/*)
        if [ "$(readlink -f /var/run)" = /run ]; then left=${left#var/}; fi
        ;;
    esac
    cd / && look || return
    while [ -n "$left" ]; do
        part=${left%%/*}
        is_kept || ours=no
        if [ -L "./$part" ]; then
            real=$(readlink -f -- "./$part")
            problem="$1 leads elsewhere, to ${real:-nowhere}"
            return 1
        elif [ ! -e "./$part" ]; then
            return 0
        elif [ ! -d "./$part" ]; then
            problem="$here/$part is not a folder"
            return 1
        fi
        into "$part" || return
        here=$here/$part
        case $left in */*) left=${left#*/} ;; *) left='' ;; esac
    done
    is_roots || ours=no
}

# fresh NAME: enter a folder that was just made, if it is that: root's alone and empty.
# Access that the folder around it would grant by itself (a default ACL) is taken away.
fresh() {
    problem="the folder $1 changed while it was made"
    into "$1" && is_roots_alone && [ -z "$(ls -A .)" ] || return
    case $(ls -ld .) in ??????????+*) setfacl -b -k . 2>/dev/null ;; esac
    case $(ls -ld .) in
        ??????????+*)
            problem="the folder around $1 lets others in by an ACL"
            return 1
            ;;
    esac
}

# Make a room in the current folder and enter it. leave_room takes it away again.
in_room=no
enter_room() {
    sweep
    room=$(mktemp -d ./.reconciler.XXXXXXXX 2>&1) || {
        problem="no folder can be made in it: ${room##*: }"
        return 1
    }
    fresh "${room#./}" && in_room=yes
}

leave_room() {
    [ "$in_room" = yes ] || return
    rm -f -- "$fresh_file" "$held_file"
    cd -P .. && rmdir -- "$room"
} 2>/dev/null

# What somebody left who was killed. No more than a few: others can make such, too.
sweep() {
    set +f
    rm -f -- ./.*.reconciler.tmp # as they were called before there were rooms
    few=8
    for room in ./.reconciler.????????; do
        [ "$few" -gt 0 ] && [ -d "$room" ] || break
        few=$((few - 1))
        (into "${room#./}" && is_roots_alone && in_room=yes && leave_room)
    done
    set -f
} 2>/dev/null

# hold NAME: have $held_file be the file that stands beside the room, if it is a regular one.
hold() {
    rm -f -- "$held_file"
    ln -- "../$1" "$held_file" 2>/dev/null && [ ! -L "$held_file" ] && [ -f "$held_file" ]
}

# place NAME: put $fresh_file in its place, whatever stands there but a folder.
place() { mv -f -T -- "$fresh_file" "../$1" 2>&1; }
