# Runs a package's phases. A phase is the variable of its name, else the function below.
set -euo pipefail
export HOME=/homeless-shelter
umask 022

runHook() {
    local hook=$1
    if declare -F "$hook" >/dev/null; then
        "$hook"
    else
        eval "${!hook:-}"
    fi
}

substitute() {
    local from=$1 to=$2 text old new
    shift 2
    text=$(cat "$from"; printf x)
    text=${text%x}
    while [ $# -gt 0 ]; do
        case $1 in
        --replace | --replace-fail | --replace-warn | --replace-quiet) old=$2 new=$3 ;;
        --subst-var) old=@$2@ new=${!2} ;;
        --subst-var-by) old=@$2@ new=$3 ;;
        *) echo "substitute(): ERROR: Invalid command line argument: $1" >&2; return 1 ;;
        esac
        if [ "$1" = --replace-fail ] && [[ $text != *"$old"* ]]; then
            echo "substitute(): ERROR: pattern $old doesn't match anything in file '$from'" >&2
            return 1
        fi
        text=${text//"$old"/"$new"}
        case $1 in --subst-var) shift 2 ;; *) shift 3 ;; esac
    done
    printf %s "$text" >"$to"
}

substituteInPlace() {
    local file=$1 mode
    shift
    mode=$(stat -c %a "$file")
    substitute "$file" "$file.substituted" "$@"
    mv "$file.substituted" "$file"
    chmod "$mode" "$file"
}

patchShebangs() {
    # The machine's interpreters are where scripts expect them.
    :
}

makeWrapper() {
    local original=$1 wrapper=$2 before='' arguments=''
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --set) before+="export $2=$(printf %q "$3")"$'\n'; shift 3 ;;
        --set-default) before+="export $2=\${$2-$(printf %q "$3")}"$'\n'; shift 3 ;;
        --unset) before+="unset $2"$'\n'; shift 2 ;;
        --run) before+="$2"$'\n'; shift 2 ;;
        --chdir) before+="cd $(printf %q "$2")"$'\n'; shift 2 ;;
        --prefix) before+="export $2=$(printf %q "$4")\${$2:+$(printf %q "$3")}\${$2-}"$'\n'; shift 4 ;;
        --suffix) before+="export $2=\${$2-}\${$2:+$(printf %q "$3")}$(printf %q "$4")"$'\n'; shift 4 ;;
        --add-flags) arguments+=" $2"; shift 2 ;;
        --add-flag) arguments+=" $(printf %q "$2")"; shift 2 ;;
        --inherit-argv0) shift ;;
        *) echo "makeWrapper doesn't understand the arg $1" >&2; return 1 ;;
        esac
    done
    mkdir -p "$(dirname "$wrapper")"
    printf '#! /bin/bash -e\n%sexec %q%s "$@"\n' "$before" "$original" "$arguments" >"$wrapper"
    chmod +x "$wrapper"
}

wrapProgram() {
    local program=$1 hidden
    shift
    hidden=$(dirname "$program")/.$(basename "$program")-wrapped
    mv "$program" "$hidden"
    makeWrapper "$hidden" "$program" "$@"
}

installManPage() { install -Dm444 -t "$out/share/man" "$@"; }

unpackFile() {
    local name
    name=$(basename "$1")
    case $1 in
    *.tar | *.tar.* | *.tgz) tar xf "$1" ;;
    *)
        # A store path's name without its hash.
        [[ $1 == /nix/store/* ]] && name=${name#*-}
        cp -r --no-preserve=ownership "$1" "$name"
        chmod -R u+w "$name"
        ;;
    esac
}

unpackPhase() {
    local source before after
    if [ -z "${src:-}${srcs:-}" ]; then
        echo "variable \$src or \$srcs should point to the source" >&2
        return 1
    fi
    before=$(ls -A)
    for source in ${srcs:-$src}; do unpackFile "$source"; done
    after=$(ls -A)
    if [ -z "${sourceRoot:-}" ]; then
        sourceRoot=.
        if [ "$(printf '%s\n' "$after" | wc -l)" = 1 ] && [ -z "$before" ] && [ -d "$after" ]; then
            sourceRoot=$after
        fi
    fi
    cd "$sourceRoot"
}

patchPhase() {
    local p
    for p in ${patches:-}; do patch -p1 <"$p"; done
}

configurePhase() {
    if [ -x ./configure ] && [ -z "${dontConfigure:-}" ]; then
        ./configure --prefix="$out" ${configureFlags:-}
    fi
}

makefile() { [ -e Makefile ] || [ -e makefile ] || [ -e GNUmakefile ]; }
buildPhase() { if makefile; then make ${makeFlags:-} PREFIX="$out" prefix="$out"; fi; }
checkPhase() { if makefile; then make ${makeFlags:-} check; fi; }
installPhase() {
    if makefile; then
        make ${makeFlags:-} PREFIX="$out" prefix="$out" install
    else
        echo "no Makefile, and no installPhase given" >&2
        return 1
    fi
}
fixupPhase() { :; }

runPhase() {
    local phase=$1 short=${1%Phase} skip
    skip=dont${short^}
    [ -z "${!skip:-}" ] || return 0
    case $phase in
    checkPhase) [ -n "${doCheck:-}" ] || return 0 ;;
    installCheckPhase) [ -n "${doInstallCheck:-}" ] || return 0 ;;
    esac
    if [ -n "${!phase:-}" ]; then
        # The phase's own text runs its hooks.
        eval "${!phase}"
    else
        runHook "pre${short^}"
        if declare -F "$phase" >/dev/null; then "$phase"; fi
        runHook "post${short^}"
    fi
}

genericBuild() {
    local phase
    if [ -n "${buildCommandPath:-}" ]; then
        . "$buildCommandPath"
    elif [ -n "${buildCommand:-}" ]; then
        eval "$buildCommand"
    else
        for phase in ${phases:-${prePhases:-} unpackPhase patchPhase ${preConfigurePhases:-} configurePhase \
            ${preBuildPhases:-} buildPhase checkPhase ${preInstallPhases:-} installPhase fixupPhase \
            installCheckPhase ${postPhases:-}}; do
            runPhase "$phase"
        done
    fi
}

genericBuild
