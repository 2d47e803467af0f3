#!/bin/bash
# Makes the certificates of the TLS tests with openssl.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   certificates.sh DIR [NAMES]
#
# Makes in DIR, each as NAME.crt and NAME.key:
#   ca, stranger    two authorities
#   server          of 127.0.0.1, ::1, localhost and NAMES (IP:...,DNS:...); for
#                   servers and for clients, since etcd's gateway dials its own
#                   server with it
#   elsewhere       the same of other.invalid
#   expired         the same as server, past its end
#   client          a client, without CN: etcd's gateway does not take one that
#                   could be a user's name
#   impostor        the same by the stranger
set -eu
cd "${1:?folder}"
umask 077
exec 2>openssl.log

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

authority() {
    openssl req -x509 "${new_key[@]}" -days 2 -subj "/CN=$1" -keyout "$1.key" -out "$1.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

# leaf NAME AUTHORITY SUBJECT USE NAMES [BEGIN END]
leaf() {
    openssl req "${new_key[@]}" -subj "$3" -keyout "$1.key" -out "$1.csr"
    rm -f index.txt* serial
    : >index.txt
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256
policy=p\n[p]\ncommonName=optional\norganizationName=optional\n[x]\nextendedKeyUsage=%s\n%s\n' \
        "$4" "${5:+subjectAltName=$5}" >openssl.cnf
    openssl ca -batch -notext -config openssl.cnf -extensions x -rand_serial -cert "$2.crt" \
        -keyfile "$2.key" -in "$1.csr" -out "$1.crt" -startdate "${6:-20200101000000Z}" \
        -enddate "${7:-20991231000000Z}"
}

both=serverAuth,clientAuth
names=IP:127.0.0.1,IP:::1,DNS:localhost${2:+,$2}
authority ca
authority stranger
leaf server ca /CN=etcd $both "$names"
leaf elsewhere ca /CN=etcd $both DNS:other.invalid
leaf expired ca /CN=etcd $both "$names" 20200101000000Z 20200201000000Z
leaf client ca /O=tests clientAuth ''
leaf impostor stranger /O=tests clientAuth ''
