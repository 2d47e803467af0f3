/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which version this is, for those who look into the file: `etcdsd doctor`, and
 * what(1), which invented the mark.
 */
#include "libsd.h"

__attribute__((used)) static const char version[] = "@(#)libnss_etcdsd " LIBSD_VERSION;
