/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The module's entry points, as glibc looks them up by name (glibc 2.36
 * nss/function.def).  No header of glibc declares them.
 */
#ifndef ETCDSD_NSS_HOSTS_H
#define ETCDSD_NSS_HOSTS_H

#include <netdb.h>
#include <nss.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum nss_status _nss_etcdsd_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                             char *buffer, size_t size, int *errnop, int *h_errnop,
                                             int32_t *ttlp);
enum nss_status _nss_etcdsd_gethostbyname3_r(const char *name, int family, struct hostent *host,
                                             char *buffer, size_t size, int *errnop, int *h_errnop,
                                             int32_t *ttlp, char **canonp);
enum nss_status _nss_etcdsd_gethostbyname2_r(const char *name, int family, struct hostent *host,
                                             char *buffer, size_t size, int *errnop, int *h_errnop);
enum nss_status _nss_etcdsd_gethostbyname_r(const char *name, struct hostent *host, char *buffer,
                                            size_t size, int *errnop, int *h_errnop);

enum nss_status _nss_etcdsd_gethostbyaddr2_r(const void *address, socklen_t length, int family,
                                             struct hostent *host, char *buffer, size_t size,
                                             int *errnop, int *h_errnop, int32_t *ttlp);
enum nss_status _nss_etcdsd_gethostbyaddr_r(const void *address, socklen_t length, int family,
                                            struct hostent *host, char *buffer, size_t size,
                                            int *errnop, int *h_errnop);
enum nss_status _nss_etcdsd_sethostent(int stay_open);
enum nss_status _nss_etcdsd_gethostent_r(struct hostent *host, char *buffer, size_t size,
                                         int *errnop, int *h_errnop);
enum nss_status _nss_etcdsd_endhostent(void);

enum nss_status _nss_etcdsd_getservbyname_r(const char *name, const char *protocol,
                                            struct servent *service, char *buffer, size_t size,
                                            int *errnop);
enum nss_status _nss_etcdsd_getservbyport_r(int port, const char *protocol, struct servent *service,
                                            char *buffer, size_t size, int *errnop);
enum nss_status _nss_etcdsd_setservent(int stay_open);
enum nss_status _nss_etcdsd_getservent_r(struct servent *service, char *buffer, size_t size,
                                         int *errnop);
enum nss_status _nss_etcdsd_endservent(void);

#endif
