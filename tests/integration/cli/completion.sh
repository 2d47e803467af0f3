#!/bin/bash
# Completions of etcdsd for bash, zsh and fish: what each offers is what the
# command line accepts; and in real shells on a terminal, TAB types it.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2086,SC2046 # lists of words
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../lib.sh"
export ETCDSD_CONF=
export PATH=$build:$PATH
scripts=$top/packaging/completions
commands='register list watch resolve pick status dump doctor help'
cd "$work" || exit 1

# Each prints what the shell offers for the last of WORD..., one a line.
in_bash() {
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _etcdsd etcdsd
        printf "%s\n" "${COMPREPLY[@]}"' - "$scripts/etcdsd" etcdsd "$@"
}

in_fish() {
    # shellcheck disable=SC2016 # for that shell
    fish --no-config -c 'source $argv[1]; complete -C "$argv[2..-1]"' "$scripts/etcdsd.fish" etcdsd "$@" | cut -f 1
}

# compadd and _describe are the shell's; here they only tell what they are given.
in_zsh() {
    # shellcheck disable=SC2016 # for that shell
    zsh -f -c '_describe() { print -rl -- "${(@)${(P)argv[-1]}%%:*}" }
        compadd() { print -rl -- "${(@P)argv[-1]}" }
        _files() { print -rl -- *(N) }
        _normal() { print -r -- ":normal $words" }
        script=$1; shift; words=("$@"); CURRENT=$#; PREFIX=$words[-1]; . $script' - "$scripts/_etcdsd" etcdsd "$@"
}

# offers SHELL WANTED WORD...: the wanted words, in any order.
offers() {
    local got wanted
    wanted=$(printf '%s\n' $2 | sort)
    got=$("in_$1" "${@:3}" | sed '/^$/d; s/ *$//' | sort)
    [ "$got" = "$wanted" ] && return 0
    echo "# $1: ${*:3}: offered $(tr '\n' ' ' <<<"$got"), not $(tr '\n' ' ' <<<"$wanted")"
    return 1
}

# options COMMAND: those that it accepts, as its help tells; help knows them all
# from the table that the parser has.
options() {
    { etcdsd --help; [ "$1" = help ] || etcdsd "$1" --help; } | sed -n 's/^  \(--[a-z-]*\).*/\1/p' | sort -u | tr '\n' ' '
}

# Each that help tells is taken by the parser, which then has something else to
# complain of.
are_accepted() {
    local option
    for option in $2; do
        case $option in --help | --version) continue ;; esac
        ! timeout 10 etcdsd "$1" "$option=1" -- x 2>&1 </dev/null | grep 'is no option' || return 1
    done
}

knows_commands_and_options() {
    local command
    offers "$1" "$commands" '' && offers "$1" 'resolve register' re && offers "$1" "$commands" help '' || return 1
    for command in $commands; do
        offers "$1" "$(options "$command")" "$command" -- || return 1
        offers "$1" "$(options "$command")" --verbose "$command" -- || return 1
    done
    offers "$1" '--weight' register a --we && offers "$1" '' list ---
}

are_those_of_the_parser() {
    local command
    for command in ${commands% help}; do
        [ "$command" = register ] || are_accepted "$command" "$(options "$command")" || return 1
    done
    etcdsd list --ttl=1 -- x 2>&1 | grep -q 'is no option of list'
}

knows_values() {
    touch "$work/cafile" && offers "$1" 'auto always never' watch --color '' && offers "$1" 'table' pick --source t &&
        offers "$1" 'wait force fail' register a b --takeover '' && offers "$1" 'tcp tcp=' register a b --check t &&
        [[ $("in_$1" list --cacert ca) = *cafile* ]]
}

# bash sees --color=al as three words, the others as one.
knows_values_behind_equals() {
    if [ "$1" = bash ]; then
        offers bash always watch --color = al && offers bash 'auto table etcd' pick --source =
    else
        offers "$1" --color=always watch --color=al && offers "$1" '--source=auto --source=table --source=etcd' pick --source=
    fi
}

knows_services() {
    local command
    for command in list watch resolve pick register; do
        offers "$1" 'user shop/cart' "$command" '' && offers "$1" shop/cart "$command" sh || return 1
    done
    offers "$1" user.service.etcd resolve user. && offers "$1" '' status '' && offers "$1" '' list user '' &&
        offers "$1" user list --table "$ETCDSD_TABLE" us && offers "$1" user list --table="$ETCDSD_TABLE" us
}

# Without a table etcd is asked, and quickly given up.
knows_services_without_table() {
    ETCDSD_TABLE=$work/none offers "$1" 'user shop/cart' list '' || return 1
    local began
    began=$(now_ms)
    ETCDSD_TABLE=$work/none ETCDCTL_ENDPOINTS=http://127.0.0.1:1 offers "$1" '' list '' && [ $(($(now_ms) - began)) -le 10000 ]
}

knows_programs() {
    case $1 in
        zsh) [ "$(in_zsh register a b -- fal)" = ':normal fal' ] && [ "$(in_zsh register a b -- cat x)" = ':normal cat x' ] ;;
        *) "in_$1" register a b -- fal | grep -qx false && "in_$1" register a b -- cat caf | grep -qx cafile ;;
    esac
}

fill() {
    put /service/user/a 127.0.0.2:80 && put /service/shop/cart/x 127.0.0.3:80 && put '/service/od d/x' 127.0.0.4:80 &&
        watcher_start && wait_until 10 answers x.cart.shop.service.etcd 127.0.0.3 && del '/service/od d/x' &&
        wait_until 10 unknown od-d.service.etcd
}

# types SHELL: TAB completes the command, then the service; the line is printed.
types() {
    timeout 60 python3 - "$1" "$scripts" <<'END2'
import os, pty, sys, time
shell, scripts = sys.argv[1:]
start = {
    "bash": (["bash", "--norc", "-i"], f". {scripts}/etcdsd"),
    "zsh": (["zsh", "-f", "-i"], f"fpath=({scripts} $fpath); autoload -Uz compinit; compinit -u -D"),
    "fish": (["fish", "--no-config", "-i"], f"source {scripts}/etcdsd.fish"),
}[shell]
os.environ.update(TERM="xterm", HOME=os.getcwd(), XDG_CONFIG_HOME=os.getcwd(), XDG_DATA_HOME=os.getcwd())
child, terminal = pty.fork()
if child == 0:
    os.execvp(start[0][0], start[0])
seen = b""
def until(text):
    global seen
    while text not in seen:
        got = os.read(terminal, 4096)
        if b"\x1b[6n" in got: # where is the cursor?
            os.write(terminal, b"\x1b[1;1R")
        seen += got
    seen = seen[seen.index(text) + len(text):]
os.write(terminal, start[1].encode() + b"; echo rea''dy\n")
until(b"ready")
os.write(terminal, b"etcdsd reso\t")
until(b"lve")
os.write(terminal, b"sh\t")
until(b"op/cart")
os.write(terminal, b"\x01echo GO''T \x05\n")
until(b"GOT etcdsd resolve shop/cart")
os.kill(child, 9)
END2
}

check 'etcd starts' etcd_start
check 'services are registered, the watcher runs' fill
check 'the options that help tells are those of the parser' are_those_of_the_parser
for shell in bash zsh fish; do
    command -v $shell >/dev/null || { echo "ok - $shell (skipped: it is not installed)"; continue; }
    check "$shell knows commands, and the options of each" knows_commands_and_options $shell
    check "$shell knows values, and files" knows_values $shell
    check "$shell knows values behind =" knows_values_behind_equals $shell
    check "$shell knows the services that are alive" knows_services $shell
    check "$shell asks etcd where there is no table" knows_services_without_table $shell
    check "$shell completes the program that is run" knows_programs $shell
    check "$shell types what TAB chose" types $shell
done
finish
