#!/bin/sh
# Runs examples/http.c against nginx on the loopback interface: a good server, and servers that give wrong, short, long or
# no bytes, stop answering in the middle, or never answer.
#
#   examples/http_test.sh build
#
# Debian's packages: libcurl4-openssl-dev to build it, nginx to run this.
set -eu
program=$1/examples/example_http
PATH=$PATH:/usr/sbin
if [ ! -x "$program" ]; then
    echo 'http: libcurl was not here when the examples were built: nothing was run'
    exit 0
fi
if ! command -v nginx > /dev/null; then
    echo 'http: nginx is not here: nothing was run'
    exit 0
fi
folder=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then
        kill -CONT "$server" $workers 2> /dev/null || :
        kill "$server" 2> /dev/null || :
        wait "$server" 2> /dev/null || :
    fi
    rm -rf "$folder"
}
trap stop EXIT

fail() {
    echo "http: $*" >&2
    [ ! -s "$folder/log" ] || sed 's/^/http:     /' "$folder/log" >&2
    exit 1
}

# 20 MiB and a part of one, the same with other bytes, and the same cut.
mkdir "$folder/www"
head -c 20972345 /dev/urandom > "$folder/www/good"
head -c 20972345 /dev/urandom > "$folder/www/wrong"
head -c 1240000 "$folder/www/good" > "$folder/www/short"

start() {
    port=$(($(od -An -N2 -tu2 /dev/urandom) % 30000 + 20000))
    owner=
    [ "$(id -u)" != 0 ] || owner='user root;'
    cat > "$folder/nginx.conf" << CONFIG
$owner
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    default_type application/octet-stream;
    server {
        listen 127.0.0.1:$port;
        root $folder/www;
        # So slow that requests are in flight together.
        location = /good { limit_rate 4m; }
        # No ranges: all of the file, whatever was asked for.
        location = /long { max_ranges 0; alias $folder/www/good; }
        location = /none { return 206; }
        location = /closed { return 444; }
        # A hundred bytes, and from then on next to nothing.
        location = /slow { limit_rate_after 100; limit_rate 1; alias $folder/www/good; }
    }
}
CONFIG
    nginx -p "$folder" -c "$folder/nginx.conf" -g 'daemon off;' 2> "$folder/log" &
    server=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ ! -s "$folder/nginx.pid" ] || return 0
        kill -0 "$server" 2> /dev/null || return 1
        sleep 0.1
    done
    return 1
}
# The port may be taken.
start || start || start || fail 'nginx does not start'
workers=$(cat "/proc/$server/task/$server/children" 2> /dev/null || :)
url=http://127.0.0.1:$port

"$program" make "$url/good" "$folder/outline" > "$folder/log" 2>&1 || fail 'no outline was made'
grep -q 'at most 16 at a time' "$folder/log" || fail 'requests are not in flight together'

# Damaged in three groups of 16 KiB, and cut before the last tile.
damaged() {
    head -c 20970000 "$folder/www/good" > "$folder/copy"
    for at in 5 1234567 9999999; do
        printf 'damage' | dd of="$folder/copy" bs=1 seek=$at conv=notrunc 2> /dev/null
    done
}
damaged
cp "$folder/copy" "$folder/damaged"
"$program" repair "$url/good" "$folder/outline" "$folder/copy" > "$folder/log" 2>&1 || fail 'nothing was repaired'
cmp "$folder/copy" "$folder/www/good" || fail 'the copy is not the file'
# Three groups, the last one of the tile that was cut, and the last tile, which is gone.
grep -q '^5 ranges of 66361 bytes are repaired, 0 are not' "$folder/log" || fail 'other ranges were repaired'
grep -q '^5 requests, .* 66361 bytes' "$folder/log" || fail 'other bytes were fetched'
"$program" repair "$url/good" "$folder/outline" "$folder/copy" > "$folder/log" 2>&1 || fail 'a good file is refused'
grep -q '^0 requests' "$folder/log" || fail 'a good file was fetched'

# refused NAME STATUS [WORD]: the repair fails with the status and changes nothing.
refused() {
    damaged
    if "$program" --timeout 2 --attempts 2 repair "$url/$1" "$folder/outline" "$folder/copy" > "$folder/log" 2>&1; then
        fail "$1: the repair says that all is well"
    fi
    grep -q "copy: $2: .*${3:-}" "$folder/log" || fail "$1: not $2 ${3:-}"
    head -c 20970000 "$folder/copy" | cmp - "$folder/damaged" || fail "$1: bytes were written"
    [ "$(wc -c < "$folder/copy")" = 20970000 ] || fail "$1: the file is longer"
}
refused wrong ATLAS_STATUS_WITNESS
refused long ATLAS_STATUS_IO
refused none ATLAS_STATUS_IO
refused closed ATLAS_STATUS_IO
refused absent ATLAS_STATUS_IO
refused slow ATLAS_STATUS_IO 'timed out'
# A server that has the beginning alone ends within a range: the bytes before that are good.
damaged
! "$program" repair "$url/short" "$folder/outline" "$folder/copy" > "$folder/log" 2>&1 || fail 'short: all is well'
grep -q '^1 ranges of 16384 bytes are repaired, 4 are not' "$folder/log" || fail 'short: other ranges'
! "$program" make "$url/closed" "$folder/none" > "$folder/log" 2>&1 || fail 'an outline of nothing was made'
! "$program" make "$url/long" "$folder/none" > "$folder/log" 2>&1 || fail 'a server without ranges is believed'
[ ! -e "$folder/none" ] || fail 'a part of an outline is left'
# Connections are made, and nobody answers.
kill -STOP "$server" $workers
refused good ATLAS_STATUS_IO 'timed out'
kill -CONT "$server" $workers
"$program" repair "$url/good" "$folder/outline" "$folder/copy" > "$folder/log" 2>&1 || fail 'the server is back'
cmp "$folder/copy" "$folder/www/good" || fail 'the copy is not the file'
echo 'http: a good server repairs, and no other one changes a byte'
