# etcdsd: `make help` explains the targets.
# SPDX-License-Identifier: LGPL-2.1-or-later

CC = gcc
CFLAGS = -O2 -g
PKG_CONFIG = pkg-config
SHELL = /bin/bash
B = build

# ---- flags ----------------------------------------------------------------
# CFLAGS, CPPFLAGS and LDFLAGS are the user's; what the code needs is here.

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Wvla -Wundef -Wformat=2
HARDEN = -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2
BASE = -std=gnu17 -D_GNU_SOURCE -fvisibility=hidden -fPIC -Ilibsd -Ilibsd/table $(WARN) $(HARDEN)
LINK = -Wl,-z,relro,-z,now,-z,defs,-z,noexecstack,--as-needed

CURL_CFLAGS := $(shell $(PKG_CONFIG) --cflags libcurl libcjson 2>/dev/null)
CURL_LIBS := $(shell $(PKG_CONFIG) --libs libcurl libcjson 2>/dev/null)
CRITERION_LIBS = -lcriterion

# ---- sources --------------------------------------------------------------

TABLE_READER = libsd/table/reader.c libsd/table/source.c
TABLE_WRITER = libsd/table/writer.c
LIBSD = libsd/options.c
MODULE = nss/module/hosts.c
WATCHER = nss/watcher/main.c
UNIT_TESTS = tests/unit/test_layout.c

objects = $(patsubst %.c,$(B)/obj/%.o,$(1))

# ---- products -------------------------------------------------------------

.PHONY: all clean help
all: $(B)/libnss_etcdsd.so.2 $(B)/libsd.so.1 $(B)/libsd.so $(B)/libsd.a $(B)/libsd.pc \
	$(B)/etcdsd-watcher

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CURL_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
