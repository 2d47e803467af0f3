/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host's boot id (random(4)), which tells whose monotonic clock the
 * seconds in a table's header are of.
 */
#ifndef ETCDSD_TABLE_BOOT_H
#define ETCDSD_TABLE_BOOT_H

#include <stddef.h>
#include <stdint.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

/* Reads the 32 hexadecimal digits among `length` characters. */
static inline void boot_id_parse(const char *text, size_t length, uint64_t id[2])
{
    id[0] = id[1] = 0;
    for (size_t i = 0, digits = 0; i < length && digits < 32; i++) {
        int digit;

        if (text[i] >= '0' && text[i] <= '9')
            digit = text[i] - '0';
        else if (text[i] >= 'a' && text[i] <= 'f')
            digit = text[i] - 'a' + 10;
        else
            continue;
        id[digits / 16] = id[digits / 16] << 4 | (unsigned)digit;
        digits++;
    }
}

#endif
