#!/bin/bash
# Programs that know nothing of etcd reach services by their names, on a host
# where etcdsd is installed: each as its package has it, with no option for it.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
[ "${1:-}" = --inside ] || exec "$(dirname "$0")/../helpers/host" "$0" --inside
. "$(dirname "$0")/lib.sh"
unset ETCDSD_TABLE LD_LIBRARY_PATH
port=2379
export ETCDCTL_ENDPOINTS=http://127.0.0.1:$port
web=web.service.etcd:8080
nobody=nobody.service.etcd

# has PROGRAM...: or says what is missing, which is no failure where the package
# is not to be had.
has() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || { echo "# skipped: no $program"; return 1; }
    done
}

host_is_up() {
    printf 'hosts: files etcdsd [!UNAVAIL=return]\nservices: files etcdsd\npasswd: files\ngroup: files\n' \
        >/etc/nsswitch.conf
    printf '127.0.0.1 localhost\n' >/etc/hosts
    etcd_run && wait_until 15 etcd_answers || return 1
    put /service/web/i1 127.0.0.21:8080
    put /service/ssh/i1 127.0.0.22:22
    put /service/postgres/i1 127.0.0.23:5432
    put /service/redis/i1 127.0.0.24:6379
    put /service/tls/i1 127.0.0.25:8443
    spawn watcher env -u ETCDCTL_ENDPOINTS etcdsd-watcher
    wait_until 10 resolves tls.service.etcd 127.0.0.25
}

resolves() {
    [[ $(getent hosts "$1") == "$2 "* ]]
}

# Each server has its address for itself, so whoever gets an answer asked for it.
servers_are_up() {
    local kind
    mkdir "$work/www"
    echo 'I am web' >"$work/www/index.html"
    git -c init.defaultBranch=main init -q --bare "$work/www/repo.git" &&
        git --git-dir="$work/www/repo.git" -c user.name=a -c user.email=a@b commit-tree -m first \
            "$(git --git-dir="$work/www/repo.git" mktree </dev/null)" >"$work/commit" &&
        git --git-dir="$work/www/repo.git" update-ref refs/heads/main "$(cat "$work/commit")" &&
        git --git-dir="$work/www/repo.git" update-server-info || return 1
    spawn web python3 -m http.server --bind 127.0.0.21 --directory "$work/www" 8080
    spawn ssh python3 "$top/tests/integration/listener.py" ssh 127.0.0.22 22
    spawn postgres python3 "$top/tests/integration/listener.py" postgres 127.0.0.23 5432
    spawn redis python3 "$top/tests/integration/listener.py" redis 127.0.0.24 6379
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tls.service.etcd \
        -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null || return 1
    spawn tls openssl s_server -accept 127.0.0.25:8443 -cert "$work/cert.pem" -key "$work/key.pem" -www
    for kind in 21/8080 22/22 23/5432 24/6379 25/8443; do
        wait_until 10 bash -c "exec 3<>/dev/tcp/127.0.0.$kind" 2>/dev/null || return 1
    done
}

# says TEXT COMMAND...: ends well within time and prints the text.
says() {
    local text=$1
    shift
    timeout 30 "$@" </dev/null >"$work/said" 2>&1
    grep -qF -- "$text" "$work/said" || { sed 's/^/# /' "$work/said" | head -n 5; return 1; }
}

fails() {
    ! timeout 30 "$@" </dev/null >"$work/said" 2>&1
}

curl_does() {
    has curl || return 0
    says 'I am web' curl -s "http://$web/" && fails curl -s "http://$nobody:8080/"
}

wget_does() {
    has wget || return 0
    says 'I am web' wget -q -O - "http://$web/" && fails wget -q -O - "http://$nobody:8080/"
}

python_does() {
    local get='import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())'
    has python3 || return 0
    says 'I am web' python3 -c "$get" "http://$web/" && fails python3 -c "$get" "http://$nobody:8080/"
}

# IO::Socket::INET calls gethostbyname(3), HTTP::Tiny getaddrinfo(3).
perl_does() {
    # shellcheck disable=SC2016 # they are perl's
    local old='use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => shift, Timeout => 10) or die $@;
        print $s "GET / HTTP/1.0\r\n\r\n"; print <$s>;' new='use HTTP::Tiny; print HTTP::Tiny->new->get(shift)->{content};'
    has perl || return 0
    says 'I am web' perl -e "$old" "$web" && fails perl -e "$old" "$nobody:8080" || return 1
    says 'I am web' perl -e "$new" "http://$web/"
}

ssh_does() {
    has ssh || return 0
    fails ssh -o BatchMode=yes -o StrictHostKeyChecking=no ssh.service.etcd true &&
        wait_until 5 logged ssh 'SSH-2.0-OpenSSH' &&
        says 'Could not resolve hostname' ssh -o BatchMode=yes "$nobody" true
}

git_does() {
    has git || return 0
    says "$(cat "$work/commit")" git ls-remote "http://$web/repo.git" &&
        fails git ls-remote "http://$nobody:8080/repo.git"
}

ping_does() {
    has ping || return 0
    says '1 received' ping -c 1 -W 5 web.service.etcd && says '127.0.0.21' ping -c 1 -W 5 web.service.etcd &&
        fails ping -c 1 -W 5 "$nobody"
}

psql_does() {
    has psql || return 0
    says 'I am a listener' psql -h postgres.service.etcd -U anybody -c 'select 1' postgres &&
        logged postgres 'user anybody' && says 'could not translate host name' psql -h "$nobody" postgres
}

redis_does() {
    has redis-cli || return 0
    says PONG redis-cli -h redis.service.etcd ping && says 'Could not connect' redis-cli -h "$nobody" ping
}

# net.connect() looks names up with dns.lookup(), that is getaddrinfo(3).
node_does() {
    local get='require("http").get(process.argv[1], r => r.pipe(process.stdout))'
    has node || return 0
    says 'I am web' node -e "$get" "http://$web/" && says ENOTFOUND node -e "$get" "http://$nobody:8080/"
}

# A program that each Java has, and that connects to a name.
java_does() {
    has keytool || return 0
    says 'CN=tls.service.etcd' keytool -J-Xshare:auto -printcert -sslserver tls.service.etcd:8443 &&
        fails keytool -printcert -sslserver "$nobody:8443"
}

# Debian's is linked with libc; its nslookup speaks DNS and knows nothing of NSS.
busybox_does() {
    has busybox || return 0
    says 'I am web' busybox wget -q -O - "http://$web/" && fails busybox wget -q -O - "http://$nobody:8080/"
}

nginx_does() {
    has nginx || return 0
    cat >"$work/nginx.conf" <<END
daemon off;
master_process off;
pid $work/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path $work/nginx.body;
    proxy_temp_path $work/nginx.proxy;
    server {
        listen 127.0.0.31:80;
        location / { proxy_pass http://$web; }
    }
}
END
    sed "s/$web/$nobody:8080/" "$work/nginx.conf" >"$work/nobody.conf"
    fails nginx -t -c "$work/nobody.conf" && grep -q 'host not found in upstream' "$work/said" || return 1
    spawn nginx nginx -c "$work/nginx.conf"
    wait_until 10 says 'I am web' curl -s http://127.0.0.31/
}

haproxy_does() {
    has haproxy || return 0
    cat >"$work/haproxy.cfg" <<END
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen web
    bind 127.0.0.32:80
    server web $web
END
    sed "s/$web/$nobody:8080/" "$work/haproxy.cfg" >"$work/nobody.cfg"
    fails haproxy -c -f "$work/nobody.cfg" && grep -q 'could not resolve address' "$work/said" || return 1
    spawn haproxy haproxy -db -f "$work/haproxy.cfg"
    wait_until 10 says 'I am web' curl -s http://127.0.0.32/
}

check 'a host has etcdsd' host_is_up
check 'servers listen, each on an address of its own' servers_are_up
check 'curl' curl_does
check 'wget' wget_does
check 'python3' python_does
check 'perl, by gethostbyname and by getaddrinfo' perl_does
check 'ssh' ssh_does
check 'git' git_does
check 'ping' ping_does
check 'psql' psql_does
check 'redis-cli' redis_does
check 'node' node_does
check 'java' java_does
check 'busybox wget' busybox_does
check 'nginx, of proxy_pass' nginx_does
check 'haproxy, of a server' haproxy_does
finish
