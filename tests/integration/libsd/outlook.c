/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd, two handles, and what one of them is told; see outlook.h.
 */
#include "outlook.h"

#include <criterion/criterion.h>

struct outlook outlook;

void outlook_begin(void)
{
    etcd_start(&outlook.etcd);
    outlook.sd = etcd_open(&outlook.etcd, NULL);
    outlook.other = etcd_open(&outlook.etcd, NULL);
    diary_init(&outlook.diary);
}

void outlook_end(void)
{
    cr_assert_not(outlook.diary.odd);
    libsd_close(outlook.sd);
    libsd_close(outlook.other);
    etcd_end(&outlook.etcd);
}

libsd_discovery *outlook_watch(const char *service, struct diary *to)
{
    libsd_discovery *made = NULL;

    cr_assert_eq(libsd_watch_service(outlook.sd, service, diary_take, to, &made), 0);
    return made;
}

void outlook_enter(const char *name, const char *address)
{
    cr_assert_eq(libsd_register(outlook.other, "user", name, address, 3, NULL), 0);
}
