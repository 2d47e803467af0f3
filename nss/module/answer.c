/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The status table.
 */
#include "answer.h"

enum nss_status answer_status(enum answer answer, int *errnop, int *h_errnop)
{
    static const struct {
        signed char status;
        unsigned char error;
        signed char h_error;
    } table[] = {
        [ANSWER_FOUND] = { NSS_STATUS_SUCCESS, 0, NETDB_SUCCESS },
        [ANSWER_SMALL] = { NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL },
        [ANSWER_NO_NAME] = { NSS_STATUS_NOTFOUND, ENOENT, HOST_NOT_FOUND },
        [ANSWER_NO_DATA] = { NSS_STATUS_NOTFOUND, ENOENT, NO_DATA },
        [ANSWER_AGAIN] = { NSS_STATUS_TRYAGAIN, EAGAIN, TRY_AGAIN },
        [ANSWER_FOREIGN] = { NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY },
    };

    if (answer != ANSWER_FOUND)
        *errnop = table[answer].error;
    *h_errnop = table[answer].h_error;
    return (enum nss_status)table[answer].status;
}
