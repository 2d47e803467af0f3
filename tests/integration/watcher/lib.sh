# shellcheck shell=bash
# Sourced by the tests of the watcher: what the module and the table's header
# say, in numbers.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# status NAME: what the module returns, as nss.h numbers it: getaddrinfo(3) says
# the same of a name that is not ours as of one that is unknown.
status() {
    python3 -c '
import ctypes, sys
host, text = ctypes.create_string_buffer(64), ctypes.create_string_buffer(1024)
error, h_error = ctypes.c_int(), ctypes.c_int()
print(ctypes.CDLL("libnss_etcdsd.so.2")._nss_etcdsd_gethostbyname2_r(
    sys.argv[1].encode(), 2, host, text, ctypes.c_size_t(1024), ctypes.byref(error), ctypes.byref(h_error)))
' "$1"
}

unknown_here() {
    [ "$(status "$1")" = 0 ]
}

not_ours() {
    [ "$(status "$1")" = -1 ]
}

# "Try again": EAI_AGAIN of getaddrinfo(3).
try_again() {
    [ "$(status "$1")" = -2 ]
}

# word NUMBER: of the table's header; layout.h numbers them.
word() {
    od -A n -t u8 -j $(($1 * 8)) -N 8 "$ETCDSD_TABLE" | tr -d ' '
}

# state_is 1 (LIVE), 2 (DISCONNECTED) or 3 (STOPPED)
state_is() {
    [ -e "$ETCDSD_TABLE" ] && [ $(($(word 8) & 255)) = "$1" ]
}

# What the service manager hears at $work/notify, a line each; to be spawned so named.
manager() {
    exec python3 - "$work/notify" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode(), flush=True)
END
}

heard() {
    grep -qE -- "$1" "$work/manager.log"
}

# never SECONDS COMMAND...: it does not succeed in all that time.
never() {
    ! wait_until "$@"
}
