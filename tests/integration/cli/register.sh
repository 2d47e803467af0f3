#!/bin/bash
# etcdsd register: with a program, as its supervisor, and without one.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../lib.sh"
export ETCDSD_CONF=
e=$build/etcdsd

# run WORD...: register to its end; $out, $err, $status.
run() {
    out=$(timeout 20 "$e" register "$@" 2>"$work/err" </dev/null)
    status=$?
    err=$(<"$work/err")
}

# is STATUS OUT ERR: the last two are patterns.
is() {
    # shellcheck disable=SC2053
    [ "$status" = "$1" ] && [[ $out = $2 ]] && [[ $err = $3 ]] && return 0
    printf '# status %s\n# out: %s\n# err: %s\n' "$status" "$out" "$err"
    return 1
}

value() {
    etcdctl get --print-value-only "/service/$1"
}

# has KEY VALUE; has KEY: none.
has() {
    [ "$(value "$1")" = "${2:-}" ]
}

# ends NAME STATUS: what spawn started ends by itself with that status.
ends() {
    wait "${pid[$1]}"
    status=$?
    unset "pid[$1]"
    [ "$status" = "$2" ] || { echo "# status $status"; return 1; }
}

statuses() {
    run web 127.0.0.2:80 -- true
    is 0 '' '*' || return 1
    run web 127.0.0.2:80 -- sh -c 'exit 7'
    is 7 '' '*' || return 1
    # shellcheck disable=SC2016 # for that shell
    run web 127.0.0.2:80 -- sh -c 'kill -KILL $$'
    is 137 '' '*' || return 1
    run web 127.0.0.2:80 -- "$work/none"
    is 127 '' "etcdsd: $work/none: No such file or directory" || return 1
    run web 127.0.0.2:80 -- no-such-program-anywhere
    is 127 '' 'etcdsd: no-such-program-anywhere: No such file or directory' || return 1
    run web 127.0.0.2:80 -- /etc/passwd
    is 126 '' 'etcdsd: /etc/passwd: Permission denied' || return 1
    run web 127.0.0.2:80 -- "$work"
    is 126 '' "etcdsd: $work: Is a directory"
}

# What is wrong in the arguments is said before the program is begun.
nothing_is_begun() {
    run web junk -- touch "$work/begun"
    is 64 '' "etcdsd: web: *'junk'*" || return 1
    run web 127.0.0.2:80 --check frob -- touch "$work/begun"
    is 64 '' "etcdsd: --check: 'frob' is none of *" || return 1
    run web 127.0.0.2:80 --metadata '[' -- touch "$work/begun"
    is 64 '' 'etcdsd: web: *' || return 1
    run web 127.0.0.2:80 --ttl 0 -- touch "$work/begun"
    is 64 '' 'etcdsd: --ttl: *' || return 1
    run web 127.0.0.2:80 --cert x -- touch "$work/begun"
    is 125 '' 'etcdsd: *cert is given without key*' && [ ! -e "$work/begun" ]
}

input_and_descriptors() {
    # shellcheck disable=SC2016 # for that shell
    out=$(printf 'one\ntwo\n' | "$e" register web 127.0.0.2:80 -- sh -c 'read -r x; echo "$x" >&3; cat; echo err >&2' \
        3>"$work/three" 2>"$work/err")
    [ "$out" = two ] && [ "$(<"$work/three")" = one ] && grep -qx err "$work/err"
}

whole_value() {
    spawn whole "$e" register web 127.0.0.2:80 --instance i --weight 5 --priority 2 --metadata '{"a":1}' --ttl 4 \
        -- sleep 100
    wait_until 10 has web/i '{"addr":"127.0.0.2:80","weight":5,"priority":2,"metadata":{"a":1}}' &&
        wait_until 5 logged whole 'etcdsd: web/i: registered as 127.0.0.2:80' && stop whole && has web/i
}

# A program that writes down each signal, and ends by TERM with status 3.
signals='trap "echo hup" HUP; trap "echo usr1" USR1; trap "echo term; exit 3" TERM; echo up; while :; do sleep 0.05; done'

signals_are_forwarded() {
    spawn sig "$e" register web 127.0.0.3:80 --instance sig -- bash -c "$signals"
    wait_until 10 logged sig up && wait_until 10 has web/sig 127.0.0.3:80 || return 1
    kill -HUP "${pid[sig]}" && wait_until 5 logged sig hup || return 1
    kill -USR1 "${pid[sig]}" && wait_until 5 logged sig usr1 && has web/sig 127.0.0.3:80 || return 1
    kill -TERM "${pid[sig]}" && ends sig 3 && logged sig term && has web/sig
}

# The program itself looks whether it is still registered when it is told.
told_after_deregistering() {
    spawn order "$e" register web 127.0.0.3:80 --instance order --drain 1 -- bash -c \
        'trap "etcdctl get /service/web/order | grep -q . && echo there || echo gone; exit 0" TERM
         echo up; while :; do sleep 0.05; done'
    wait_until 10 logged order up && wait_until 10 has web/order 127.0.0.3:80 || return 1
    local began
    began=$(now_ms)
    kill -TERM "${pid[order]}" && wait_until 5 has web/order && kill -0 "${pid[order]}" && ends order 0 &&
        logged order gone && [ $(($(now_ms) - began)) -ge 1000 ]
}

second_signal_ends_drain() {
    spawn drain "$e" register web 127.0.0.3:80 --instance drain --drain 1000 -- sleep 1000
    wait_until 10 has web/drain 127.0.0.3:80 && kill -TERM "${pid[drain]}" && wait_until 5 has web/drain &&
        kill -TERM "${pid[drain]}" && ends drain 143
}

whole_group_is_told() {
    spawn group "$e" register web 127.0.0.3:80 --instance group -- bash -c \
        'sleep 1000 & echo "child $!"; trap "" TERM; wait'
    wait_until 10 logged group child && wait_until 10 has web/group 127.0.0.3:80 || return 1
    local child
    child=$(awk '/^child/ { print $2 }' "$work/group.log")
    kill -TERM "${pid[group]}" && ends group 0 && ! kill -0 "$child" 2>/dev/null
}

program_ends_by_itself() {
    spawn own "$e" register web 127.0.0.3:80 --instance own -- sh -c "until [ -e $work/go ]; do sleep 0.05; done; exit 9"
    wait_until 10 has web/own 127.0.0.3:80 && touch "$work/go" && ends own 9 && has web/own
}

# Signals 1 to 28: glibc's posix_spawn() ignores its own two, 32 and 33.
ignored_and_blocked() {
    local look='grep -E "^Sig(Blk|Ign)" /proc/self/status | sed "s/0.*\(.......\)/\1/"; exit 5'
    (trap '' HUP && exec sh -c "$look") >"$work/mask"
    (trap '' HUP CHLD && exec "$e" register web 127.0.0.3:80 -- sh -c "$look") >"$work/mask.program" 2>/dev/null
    [ $? = 5 ] && diff "$work/mask" "$work/mask.program"
}

# kill -9 of etcdsd: its key goes with the lease; the program goes on.
killed() {
    spawn killed "$e" register web 127.0.0.4:80 --instance killed --ttl 2 -- bash -c 'echo "program $$"; exec sleep 1000'
    wait_until 10 has web/killed 127.0.0.4:80 || return 1
    local program
    program=$(awk '/^program/ { print $2 }' "$work/killed.log")
    stop killed KILL
    has web/killed 127.0.0.4:80 && wait_until 15 has web/killed && kill -KILL "$program"
}

checks_gate() {
    spawn gate "$e" register web 127.0.0.5:80 --instance gate --check "cmd=test -e $work/well" --check-interval 1 \
        -- sleep 1000
    wait_until 5 logged gate 'web/gate: not registered until its check passes' && has web/gate || return 1
    touch "$work/well"
    wait_until 10 has web/gate 127.0.0.5:80 && rm "$work/well" && wait_until 20 has web/gate || return 1
    kill -TERM "${pid[gate]}" && ends gate 143
}

tcp_check() {
    local free=$((26000 + RANDOM % 6000))
    spawn tcp "$e" register web "127.0.0.5:$free" --instance tcp --check tcp --check-interval 1 -- sh -c \
        "until [ -e $work/listen ]; do sleep 0.05; done; exec python3 -m http.server --bind 127.0.0.5 $free"
    wait_until 5 logged tcp 'until its check passes' && has web/tcp && touch "$work/listen" &&
        wait_until 15 has web/tcp "127.0.0.5:$free" && stop tcp && has web/tcp
}

without_program() {
    spawn alone "$e" register web 127.0.0.6:80 --instance alone
    wait_until 10 has web/alone 127.0.0.6:80 && wait_until 5 logged alone 'web/alone: registered as' || return 1
    run web 127.0.0.7:80 --instance alone --takeover fail
    is 1 '' 'etcdsd: web/alone: *' || return 1
    run web 127.0.0.7:80 --instance alone --takeover fail -- sleep 1000
    is 125 '' 'etcdsd: web/alone: *' && has web/alone 127.0.0.6:80 || return 1
    kill -TERM "${pid[alone]}" && ends alone 0 && has web/alone
}

unique_names() {
    spawn one "$e" register many 127.0.0.6:80
    spawn two "$e" register many 127.0.0.6:81
    wait_until 10 logged one registered && wait_until 10 logged two registered &&
        [ "$("$e" list many | wc -l)" = 2 ] && stop one && stop two && [ -z "$("$e" list many 2>/dev/null)" ]
}

conflict_waits() {
    put /service/web/mine 127.0.0.9:1 --lease="$(etcdctl lease grant 600 | awk '{ print $2 }')"
    spawn mine "$e" register web 127.0.0.6:80 --instance mine -- sleep 1000
    wait_until 10 logged mine 'web/mine: another live instance has this name (registered when' &&
        has web/mine 127.0.0.9:1 && del /service/web/mine && wait_until 10 has web/mine 127.0.0.6:80 && stop mine
}

# On a terminal the program reads, ^C goes to it, and the terminal comes back.
on_terminal() {
    timeout 30 python3 - "$e" <<'END2'
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "register", "web", "127.0.0.8:80", "--instance", "tty", "--",
                           "bash", "-c", "trap 'echo interrupted; exit 4' INT; read x; echo got:$x; read y"])
seen = b""
def until(text):
    global seen
    while text not in seen:
        seen += os.read(terminal, 4096)
until(b"registered as")
os.write(terminal, b"typed\n")
until(b"got:typed")
os.write(terminal, b"\x03")
until(b"interrupted")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 4)
END2
}

# A shell's job control: ^Z, fg, bg, and reading in the background.
job_control() {
    timeout 60 python3 - "$e" <<'END2'
import os, pty, re, sys
child, terminal = pty.fork()
if child == 0:
    os.environ.update(PS1="PS> ", TERM="dumb")
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
seen = b""
def until(text):
    global seen
    while not re.search(text, seen):
        seen += os.read(terminal, 4096)
    seen = seen[re.search(text, seen).end():]
def say(text):
    os.write(terminal, text.encode())
program = "echo u''p; while read -r x; do echo go''t:\\$x; done; exit 6"
run = f"{sys.argv[1]} register web 127.0.0.8:80 --instance job -- bash -c \"{program}\""
until(rb"PS> ")
say(run + "\n"); until(rb"up\r\n")
say("one\n"); until(rb"got:one")
say("\x1a"); until(rb"Stopped"); until(rb"PS> ")
say("fg\n"); until(rb"register"); say("two\n"); until(rb"got:two")
say("\x1a"); until(rb"Stopped"); until(rb"PS> ")
say("bg\n"); until(rb"PS> ")
say("until jobs | grep -q 'Stopped.*register'; do :; done; echo sto''od\n"); until(rb"stood\r\n"); until(rb"PS> ")
say("fg\n"); until(rb"register"); say("three\n"); until(rb"got:three")
say("\x04"); until(rb"PS> ")
say("echo status $?\n"); until(rb"status 6\r\n"); until(rb"PS> ")
# Begun in the background; brought forward when it wants to read.
say(run + " &\n"); until(rb"up\r\n")
say("until jobs | grep -q 'Stopped.*register'; do :; done; echo sto''od\n"); until(rb"stood\r\n")
say("fg\n"); until(rb"register"); say("four\n"); until(rb"got:four"); say("\x04"); until(rb"PS> ")
# One that ends in the background leaves the terminal to the shell.
# Not sooner than it runs: ^Z would still be the shell's, and nothing to that.
say(f"{sys.argv[1]} register web 127.0.0.8:80 -- sh -c \"echo asl''eep; exec sleep 1000\" 2>/dev/null\n")
until(rb"asleep\r\n")
say("\x1a"); until(rb"Stopped"); until(rb"PS> ")
say("bg >/dev/null; kill %1; wait %1; echo status $?\n"); until(rb"status 143\r\n"); until(rb"PS> ")
say("echo ali''ve; exit 0\n"); until(rb"alive\r\n")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END2
}

# Without a shell of its own nobody would wake etcdsd: ^Z does not stop it.
stop_without_a_shell() {
    timeout 30 python3 - "$e" <<'END2'
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "register", "web", "127.0.0.8:80", "--instance", "orphan", "--",
                           "bash", "-c", "echo up; while read x; do echo got:$x; done; exit 4"])
seen = b""
def until(text):
    global seen
    while text not in seen:
        seen += os.read(terminal, 4096)
until(b"registered as")
os.write(terminal, b"\x1a")
os.write(terminal, b"typed\n")
until(b"got:typed")
os.write(terminal, b"\x04")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 4)
END2
}

# A signal and its number's trap; then the program ends by TERM.
each_signal() {
    # shellcheck disable=SC2016 # for that shell
    spawn each "$e" register web 127.0.0.3:80 --instance each -- bash -c \
        'for s in HUP USR1 USR2 WINCH CONT ALRM; do trap "echo got-$s" $s; done
         trap "echo got-TERM; exit 3" TERM; echo up; while :; do sleep 0.05; done'
    wait_until 10 logged each up && wait_until 10 has web/each 127.0.0.3:80 || return 1
    local name
    for name in HUP USR1 USR2 WINCH CONT ALRM; do
        kill "-$name" "${pid[each]}" && wait_until 5 logged each "got-$name" || return 1
    done
    kill -TERM "${pid[each]}" && ends each 3 && logged each got-TERM
}

# INT and QUIT end it as they would have ended the program.
other_stops() {
    spawn int "$e" register web 127.0.0.3:80 --instance int -- python3 -c \
        'import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print("up", flush=True); time.sleep(1000)'
    wait_until 10 logged int up && kill -INT "${pid[int]}" && ends int 130 && has web/int || return 1
    spawn quit "$e" register web 127.0.0.3:80 --instance quit -- python3 -c \
        'import resource, signal, time; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGQUIT, signal.SIG_DFL); print("up", flush=True); time.sleep(1000)'
    wait_until 10 logged quit up && kill -QUIT "${pid[quit]}" && ends quit 131 && has web/quit
}

# It is waited for, unregistered, and its own status is kept.
ignores_term() {
    spawn deaf "$e" register web 127.0.0.3:80 --instance deaf -- bash -c \
        "trap '' TERM; echo up; until [ -e $work/enough ]; do sleep 0.05; done; exit 8"
    wait_until 10 logged deaf up && wait_until 10 has web/deaf 127.0.0.3:80 && kill -TERM "${pid[deaf]}" &&
        wait_until 5 has web/deaf && kill -TERM "${pid[deaf]}" && kill -0 "${pid[deaf]}" && touch "$work/enough" &&
        ends deaf 8
}

# What it leaves behind holds its output, and is not waited for.
leaves_a_daemon() {
    spawn parent "$e" register web 127.0.0.3:80 --instance parent -- bash -c \
        'setsid sleep 1000 & echo "daemon $!"; exit 0'
    ends parent 0 && has web/parent || return 1
    local daemon
    daemon=$(awk '/^daemon/ { print $2 }' "$work/parent.log")
    kill -0 "$daemon" && kill -KILL "$daemon"
}

http_check() {
    local free=$((26000 + RANDOM % 6000))
    mkdir -p "$work/www"
    spawn http "$e" register web "127.0.0.5:$free" --instance http --check http=/fine --check-interval 1 -- \
        python3 -m http.server --bind 127.0.0.5 --directory "$work/www" "$free"
    wait_until 10 logged http 'until its check passes' && has web/http && echo yes >"$work/www/fine" &&
        wait_until 15 has web/http "127.0.0.5:$free" && rm "$work/www/fine" && wait_until 20 has web/http && stop http
}

# The program does not notice that etcd goes and comes.
etcd_goes_meanwhile() {
    spawn away "$e" register web 127.0.0.3:80 --instance away --ttl 2 -- bash -c "$signals"
    wait_until 10 has web/away 127.0.0.3:80 && stop etcd KILL && wait_until 20 logged away 'not registered for now' &&
        kill -0 "${pid[away]}" && kill -USR1 "${pid[away]}" && wait_until 5 logged away usr1 && etcd_run &&
        wait_until 15 etcd_answers && wait_until 20 has web/away 127.0.0.3:80 && kill -TERM "${pid[away]}" && ends away 3
}

etcd_is_down_at_start() {
    stop etcd KILL
    spawn early "$e" register web 127.0.0.10:80 --instance early --ttl 3 -- bash -c 'echo up; exec sleep 1000'
    wait_until 5 logged early up && wait_until 15 logged early 'etcdsd: web: not registered yet: ' || return 1
    etcd_run
    wait_until 15 etcd_answers && wait_until 15 has web/early 127.0.0.10:80 || return 1
    stop etcd KILL
    local began
    began=$(now_ms)
    kill -TERM "${pid[early]}" && ends early 143 && [ $(($(now_ms) - began)) -le 8000 ]
}

check 'etcd starts' etcd_start
check "the program's exit status is kept, 126 and 127 are as usual" statuses
check 'wrong arguments are refused before the program begins' nothing_is_begun
check 'standard input and other descriptors are the programs own' input_and_descriptors
check 'options become the value' whole_value
check 'signals are forwarded, and the status kept' signals_are_forwarded
check 'the program is told to stop after deregistering and drain' told_after_deregistering
check 'a second signal ends the drain' second_signal_ends_drain
check 'the whole process group is told' whole_group_is_told
check 'a program that ends is deregistered' program_ends_by_itself
check 'it starts with the signal mask that etcdsd had' ignored_and_blocked
check 'kill -9 of etcdsd: the key goes with its lease' killed
check 'a check decides whether it is registered' checks_gate
check 'a tcp check waits until the program listens' tcp_check
check 'without a program: until a signal, or refused' without_program
check 'without a name: unique ones' unique_names
check 'a name that is taken is waited for' conflict_waits
check 'on a terminal the program reads, and ^C ends it' on_terminal
check 'a shell stops and continues it as any job' job_control
check 'where no shell would continue it, ^Z does not stop it for ever' stop_without_a_shell
check 'each signal arrives' each_signal
check 'SIGINT and SIGQUIT stop it, and its status tells' other_stops
check 'a program that ignores SIGTERM is waited for' ignores_term
check 'a daemon that the program leaves is not waited for' leaves_a_daemon
check 'an http check decides whether it is registered' http_check
check 'etcd goes and comes while the program runs' etcd_goes_meanwhile
check 'etcd is down at start: the program runs, and is registered later' etcd_is_down_at_start
finish
