# Says what this host stands on, and changes nothing: see ground.py. POSIX sh; GNU or busybox
# tools. Of passwords it says only whether there is one.

LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH

# Prints "WORDS TEXT" with the text of a file in base64, if there is one.
text() {
    if [ -f "$2" ]; then
        printf '%s %s\n' "$1" "$(head -c 262144 -- "$2" | base64 | tr -d '\n')"
    fi
}

text fstab /etc/fstab
text sshd /etc/ssh/sshd_config
text declared /var/lib/nixos/declarative-users
text configuration /run/current-system/configuration.nix
text switch /run/current-system/bin/switch-to-configuration
while IFS=: read -r name _ _ _ _ home _; do
    printf 'user %s\n' "$name"
    text "keys $name" "/etc/ssh/authorized_keys.d/$name"
    text "own $name" "$home/.ssh/authorized_keys"
done </etc/passwd
while IFS=: read -r name hash _; do
    case $hash in
        '' | '!'* | '*'* | x) ;;
        *) printf 'password %s\n' "$name" ;;
    esac
done </etc/shadow || exit 1
echo end
