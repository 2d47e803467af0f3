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
static int complain(int status, int error, const char *before)
{
    char detail[512];

    if (libsd_error_detail(NULL, detail, sizeof detail) == 0)
        return cli_fail(status, NULL, NULL, "%s%s", before, libsd_strerror(error));
    return cli_fail(status, NULL, NULL, "%s%s", before, detail);
}

static int set_options(const struct cli_arguments *arguments, const char *dispatch,
                       libsd_options *options)
{
    int rc = libsd_options_set(options, "dispatch", dispatch);

    for (int i = 0; i < CLI_OPTIONS && rc == 0; i++) {
        const char *key = cli_option_key((enum cli_option_id)i);

        if (key && arguments->values[i])
            rc = libsd_options_set(options, key, arguments->values[i]);
    }
    if (rc < 0)
        return complain(CLI_USAGE, rc, "--");
    if (arguments->values[CLI_VERBOSE])
        libsd_options_set_log(options, on_message, NULL);
    if (arguments->values[CLI_CONFIG])
        rc = libsd_options_load(options, arguments->values[CLI_CONFIG]);
    return rc < 0 ? complain(CLI_TROUBLE, rc, "--config: ") : 0;
}

int cli_open(const struct cli_arguments *arguments, const char *dispatch, libsd **sd)
{
    libsd_options *options = NULL;
    int status;
    int rc = libsd_options_new(&options);

    *sd = NULL;
    if (rc < 0)
        return cli_fail(CLI_TROUBLE, NULL, NULL, "%s", libsd_strerror(rc));
    status = set_options(arguments, dispatch, options);
    if (status == 0) {
        rc = libsd_open(sd, options);
        if (rc < 0)
            status = complain(CLI_TROUBLE, rc, "");
    }
    libsd_options_free(options);
    return status;
}
