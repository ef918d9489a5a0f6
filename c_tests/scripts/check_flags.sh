#!/bin/sh
# check_flags.sh CMAKE CARGO RUSTC SOURCE: cmake/RunCargo.cmake gives rustc the flags of .cargo/config.toml and
# hides the machine's folders, from a folder outside of the source, whatever flags the environment has.
#
# In place of rustc a script writes down its arguments for the target, and fails. Build scripts are for the host and have
# no flags, so that cargo goes on after they failed.
set -eu
cmake=$1 cargo=$2 rustc=$3 source=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "failed: $*"; cat "$folder/arguments" "$folder/said"; exit 1; }

cat > "$folder/rustc" <<EOF
#!/bin/sh
case " \$* " in
    *' --crate-name ___ '* | *' -vV '* | ' --print sysroot ') exec "$rustc" "\$@" ;;
    *' --target '*) printf '%s\n' "\$@" >> "$folder/arguments" ;;
esac
exit 1
EOF
printf '#!/bin/sh\nexec "%s" "$@" --keep-going\n' "$cargo" > "$folder/cargo"
chmod +x "$folder/rustc" "$folder/cargo"

# Words that are expected, one an argument, after the build in the environment of the caller.
expect() {
    : > "$folder/arguments"
    if (cd "$folder" && RUSTC=$folder/rustc "$cmake" "-DCARGO=$folder/cargo" "-DSOURCE=$source" \
        "-DTARGET_DIR=$folder/target" "-DTARGET=$target" -DPROFILE=release \
        -P "$source/cmake/RunCargo.cmake") > "$folder/said" 2>&1; then
        fail 'a build without a compiler succeeds'
    fi
    [ -s "$folder/arguments" ] || fail 'no crate was compiled'
    for word in "$@" "--remap-path-prefix=$source=/atlas_manifold" "--remap-path-prefix=$folder/target=/target" \
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        "--remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust=/rustc/$hash" \
        "$(sed -n 's/^rustflags = .*"\(llvm-args=[^"]*\)".*/\1/p' "$source/.cargo/config.toml")"; do
        grep -qxF -e "$word" "$folder/arguments" || fail "rustc is not given '$word' with ${flags:-no flags set}"
    done
}

target=$("$rustc" -vV | sed -n 's/^host: //p')
hash=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
expect
flags='-C target-cpu=x86-64-v2 --cfg given'
(export RUSTFLAGS="$flags" && expect target-cpu=x86-64-v2 given)
(CARGO_ENCODED_RUSTFLAGS=$(printf -- '--cfg\037given="a b"') && export CARGO_ENCODED_RUSTFLAGS && expect 'given="a b"')
(export RUSTFLAGS= && expect)
(export CARGO_BUILD_RUSTFLAGS="$flags" && expect target-cpu=x86-64-v2 given)
