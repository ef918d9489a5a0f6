#!/bin/bash
# test_bare.sh FOLDER [root|nobody [demo|test]]: the README's two commands in a Debian that has nothing but
# its essential packages, as root and as a user without root, or one of the four alone.
#
# Needs root and debootstrap. Roots, sources and logs are below FOLDER; the source is the commit with the
# changes of the tracked files. From this machine come the name servers, the CA bundle, and the proxies of
# apt and of the environment. A mount namespace of its own holds the mounts, so that nothing of them
# is left when the run is stopped, and no deletion of FOLDER follows it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$1 users=${2:-root nobody} steps=${3:-demo test}
suite=${SUITE:-bookworm}

fail() { echo "test-bare: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail 'a chroot needs root'
command -v debootstrap > /dev/null || fail 'debootstrap is missing: apt-get install debootstrap'
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2> /dev/null | sed -n 1p)}
ca_bundle=
for candidate in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    if [ -z "$ca_bundle" ] && [ -f "$candidate" ]; then ca_bundle=$candidate; fi
done

# The environment of the commands inside, beside HOME.
inside=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 CARGO_TERM_COLOR=never)
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY all_proxy ALL_PROXY; do
    if [ -n "${!name:-}" ]; then inside+=("$name=${!name}"); fi
done
# Not where ca-certificates has its own, which has to be found missing too.
if [ -n "$ca_bundle" ]; then
    for name in SSL_CERT_FILE CURL_CA_BUNDLE CARGO_HTTP_CAINFO; do inside+=("$name=/etc/machine-ca.crt"); done
fi

# timed NAME COMMAND...: its output goes to the log NAME, its status is this one's.
timed() {
    local log=$folder/$1.log status=0 spent
    shift
    printf '%-64s' "$*"
    TIMEFORMAT='%0R s, %0U s of CPU'
    spent=$({ time "$@" > "$log" 2>&1; } 2>&1) || status=$?
    printf ' %s\n' "$spent"
    return $status
}

# enter USER COMMAND...: in the root of this run, in the folder of the source.
enter() {
    local user=$1 home=/root
    shift
    if [ "$user" != root ]; then home=/home/$user; fi
    # shellcheck disable=SC2016 # for the shells inside
    unshare --mount --pid --fork --kill-child bash -c '
        root=$1 user=$2
        shift 2
        mount -t proc proc "$root/proc"
        mount -t devpts -o ptmxmode=666 devpts "$root/dev/pts"
        exec chroot --userspec="$user" "$root" "$@"' bash "$root" "$user" \
        env -i "HOME=$home" "${inside[@]}" sh -c 'cd /src && exec "$@"' sh "$@"
}

make_base() {
    if [ -e "$folder/base.made" ]; then return; fi
    rm -rf "$folder/base"
    timed debootstrap debootstrap --variant=minbase "$suite" "$folder/base" "${mirror:-http://deb.debian.org/debian}" ||
        fail "debootstrap failed: $folder/debootstrap.log"
    # As in an image from a registry: no package lists.
    rm -rf "$folder/base/var/lib/apt/lists/"*
    touch "$folder/base.made"
}

# A root for one user: the base, the source, and how this machine reaches the network.
make_root() {
    rm -rf "$root"
    cp -a --reflink=auto "$folder/base" "$root"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    apt-config dump | grep -E '^Acquire::(http|https)::.*Proxy' > "$root/etc/apt/apt.conf.d/99machine" || :
    if [ -n "$ca_bundle" ]; then
        cp "$ca_bundle" "$root/etc/machine-ca.crt"
        chmod 644 "$root/etc/machine-ca.crt"
        echo 'Acquire::https::CaInfo "/etc/machine-ca.crt";' >> "$root/etc/apt/apt.conf.d/99machine"
    fi
    mkdir -p "$root/src" "$root/home/nobody"
    git archive "$source" | tar -x -C "$root/src"
    chown -R nobody: "$root/home/nobody"
    if [ "$1" = nobody ]; then chown -R nobody: "$root/src"; fi
}

# What no reader should have to see, in any run.
is_quiet() {
    if grep -nE '^E: |not found$|command not found|: not found' "$folder/$1.log"; then fail "noise in $1.log"; fi
}

must() {
    local log=$1
    timed "$@" || { tail -n 40 "$folder/$log.log"; fail "$log failed: $folder/$log.log"; }
    is_quiet "$log"
}

# The one line that a user without root is told, as it stands there.
line_of() {
    local lines
    lines=$(sed -n 's/^    \(su - -c .*\|sudo sh -c .*\)/\1/p' "$folder/$1.log")
    [ "$(printf '%s\n' "$lines" | grep -c .)" = 1 ] || fail "$1.log does not have the one line that installs"
    printf '%s\n' "$lines"
}

as_root() {
    for step in $steps; do must "root-$step" enter root ./setup.sh "$step"; done
}

as_nobody() {
    local line
    for step in $steps; do
        # Nothing is there: the demo is refused. Of the tests, those are left out that lack something, which
        # takes as long as all of them and is not waited for.
        local command=(./setup.sh "$step")
        if [ "$step" = test ]; then command=(./setup.sh check test); fi
        if timed "nobody-$step-before" enter nobody "${command[@]}"; then
            [ "$step" = test ] || fail 'a bare machine is enough for the demo'
        fi
        is_quiet "nobody-$step-before"
        line=$(line_of "nobody-$step-before")
        must "nobody-$step-packages" enter root sh -c "$line"
        must "nobody-$step" enter nobody ./setup.sh "$step"
    done
}

# What a good run leaves in its log.
has_run() {
    case $2 in
        demo) grep -q 'of which any 64 rebuild it' "$folder/$1-demo.log" || fail "$1-demo.log has no demonstration" ;;
        test)
            grep -q '^Rust: [1-9][0-9]* tests passed, 0 failed' "$folder/$1-test.log" || fail "$1-test.log has no Rust tests"
            grep -q '^C:    100% tests passed' "$folder/$1-test.log" || fail "$1-test.log has no C tests"
            ;;
    esac
}

# Empty without changes.
source=$(git -c user.name=test-bare -c user.email=test-bare@localhost stash create)
source=${source:-HEAD}
make_base
for user in $users; do
    case $user in root | nobody) ;; *) fail "unknown user $user: root or nobody" ;; esac
    root=$folder/$user
    make_root "$user"
    "as_$user"
    for step in $steps; do has_run "$user" "$step"; done
    printf '%s: disk: ' "$user"
    du -sh --total "$root/home" "$root/root" "$root/src" 2> /dev/null | sed -n '$s/\t.*/ for Rust, crates and build/p'
    for step in $steps; do
        if [ "$step" = test ]; then sed -n '/^Rust: /,$p' "$folder/$user-test.log"; fi
    done
    rm -rf "$root"
done
echo 'test-bare: in order'
