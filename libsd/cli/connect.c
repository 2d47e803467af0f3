/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From the command line to a handle of libsd.
 */
#include <stdio.h>

#include "command.h"
#include "say.h"

static void on_message(int level, const char *message, void *arg)
{
    (void)level;
    (void)arg;
    cli_say("libsd: %s", message);
}

/* libsd's own words name key, file or variable. */
static int complain(int status, int error, const char *before, char *why, size_t size)
{
    char detail[512];

    if (libsd_error_detail(NULL, detail, sizeof detail) == 0)
        snprintf(detail, sizeof detail, "%s", libsd_strerror(error));
    snprintf(why, size, "%s%s", before, detail);
    return status;
}

static int set_options(const struct cli_arguments *arguments, const char *dispatch,
                       libsd_options *options, char *why, size_t size)
{
    int rc = libsd_options_set(options, "dispatch", dispatch);

    for (int i = 0; i < CLI_OPTIONS && rc == 0; i++) {
        const char *key = cli_option_key((enum cli_option_id)i);

        if (key && arguments->values[i])
            rc = libsd_options_set(options, key, arguments->values[i]);
    }
    if (rc < 0)
        return complain(CLI_USAGE, rc, "--", why, size);
    if (arguments->values[CLI_VERBOSE])
        libsd_options_set_log(options, on_message, NULL);
    if (arguments->values[CLI_CONFIG])
        rc = libsd_options_load(options, arguments->values[CLI_CONFIG]);
    return rc < 0 ? complain(CLI_TROUBLE, rc, "--config: ", why, size) : 0;
}

int cli_try_open(const struct cli_arguments *arguments, const char *dispatch, libsd **sd, char *why,
                 size_t size)
{
    libsd_options *options = NULL;
    int rc = libsd_options_new(&options);
    int status;

    *sd = NULL;
    if (rc < 0)
        return complain(CLI_TROUBLE, rc, "", why, size);
    status = set_options(arguments, dispatch, options, why, size);
    if (status == 0) {
        rc = libsd_open(sd, options);
        if (rc < 0)
            status = complain(CLI_TROUBLE, rc, "", why, size);
    }
    libsd_options_free(options);
    return status;
}

int cli_open(const struct cli_arguments *arguments, const char *dispatch, libsd **sd)
{
    char why[600];
    int status = cli_try_open(arguments, dispatch, sd, why, sizeof why);

    return status == 0 ? 0 : cli_fail(status, NULL, NULL, "%s", why);
}
