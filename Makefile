# etcdsd: `make help` explains the targets.
# SPDX-License-Identifier: LGPL-2.1-or-later

CC = gcc
AR = ar
CFLAGS = -O2 -g
PKG_CONFIG = pkg-config
OBJCOPY = objcopy
SHELL = /bin/bash
B = build

prefix = /usr/local

# ---- sources --------------------------------------------------------------
# What lies in a folder belongs to it; only the table has two halves.

TABLE_READER = $(addprefix libsd/table/,reader.c reverse.c source.c)
TABLE_WRITER = $(filter-out $(TABLE_READER),$(wildcard libsd/table/*.c))
LIBSD = $(wildcard libsd/*.c)
HEADERS = $(addprefix libsd/,libsd.h libsd-discovery.h libsd-etcd.h libsd-lock.h libsd-op.h libsd-watch.h)
MODULE = $(wildcard nss/module/*.c)
WATCHER = $(wildcard nss/watcher/*.c)
CONF = libsd/conf.c # libc only, and linked to whoever reads the file
CLI = $(wildcard libsd/cli/*.c)

# One program per file and line; what several of them need is in TEST_SUPPORT.
# TSAN_TESTS are those of the tests in which threads matter most; Criterion
# itself does not run under ThreadSanitizer, tests/unit/tsan/ stands in for it.
UNIT_TESTS = $(wildcard tests/unit/test_*.c)
INTEGRATION_TESTS = $(wildcard tests/integration/libsd/test_*.c)
TSAN_TESTS = $(addprefix tests/, \
	integration/libsd/test_async.c \
	integration/libsd/test_discovery.c \
	integration/libsd/test_discovery_callbacks.c \
	integration/libsd/test_discovery_outages.c \
	integration/libsd/test_election.c \
	integration/libsd/test_faults.c \
	integration/libsd/test_health.c \
	integration/libsd/test_health_net.c \
	integration/libsd/test_lock.c \
	integration/libsd/test_lock_loss.c \
	integration/libsd/test_lock_threads.c \
	integration/libsd/test_watch.c \
	unit/test_first.c \
	unit/test_race.c \
	unit/test_snapshot.c \
)
TEST_SUPPORT = $(filter-out %_stage.c $(UNIT_TESTS) $(INTEGRATION_TESTS),$(wildcard tests/unit/*.c tests/integration/libsd/*.c))
HELPERS = $(wildcard tests/helpers/*.c)
SHELL_TESTS = $(filter-out %/lib.sh %/certificates.sh,$(wildcard tests/integration/*.sh tests/integration/*/*.sh))
CHAOS = tests/chaos/client.c tests/chaos/registrar.c
EXAMPLES = $(wildcard tests/examples/*.c)
BENCH = tests/bench/bench.c tests/bench/fill.c tests/bench/lookups.c
FUZZ_TARGETS = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_SUPPORT = tests/fuzz/image.c tests/fuzz/scratch.c
FUZZ_SECONDS = 60

MANUALS3 = $(patsubst packaging/man/%.in,$(B)/man/%,$(wildcard packaging/man/*.3.in))
MANUALS = $(wildcard packaging/man/*.[1-8])

# ---- flags ----------------------------------------------------------------
# CFLAGS, CPPFLAGS and LDFLAGS are the user's; what the code needs is here.

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Wvla -Wundef -Wformat=2
HARDEN = -fstack-protector-strong -fstack-clash-protection $(FOR_X86) $(FORTIFY)
FOR_X86 = $(if $(filter x86_64-%,$(multiarch)),-fcf-protection)
FORTIFY = $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,$(if $(filter \
	-O1 -O2 -O3 -Os,$(CFLAGS)),-D_FORTIFY_SOURCE=2))
BASE = -std=gnu17 -D_GNU_SOURCE -fvisibility=hidden -fPIC -pthread -Ilibsd -Ilibsd/table \
	$(WARN) $(HARDEN)
LINK = -pthread -Wl,-z,relro,-z,now,-z,defs,-z,noexecstack,--as-needed

# Asked once, and only when needed: `make check` may just have installed them.
CURL_CFLAGS = $(eval CURL_CFLAGS := $(shell $(PKG_CONFIG) --cflags libcurl))$(CURL_CFLAGS)
CURL_LIBS = $(eval CURL_LIBS := $(shell $(PKG_CONFIG) --libs libcurl))$(CURL_LIBS)

# Kinds of objects: build/obj is the product; asan and tsan run the tests under
# sanitizers; fuzz is asan for libFuzzer; build/analyze is only looked at by gcc.
KINDS = obj asan tsan fuzz analyze
KIND_obj =
KIND_asan = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -U_FORTIFY_SOURCE
KIND_tsan = -fsanitize=thread -U_FORTIFY_SOURCE -Wno-unknown-warning-option -Wno-tsan -Itests/unit/tsan
KIND_fuzz = -fsanitize=fuzzer-no-link $(KIND_asan)
$(B)/fuzz/%: private override CC = clang
KIND_analyze = -fanalyzer -Werror -Wno-analyzer-malloc-leak # clang's is right more often

MEMORY_WRAPS = malloc calloc realloc reallocarray strdup strndup asprintf __asprintf_chk tsearch pthread_create \
	$(addprefix curl_,multi_init easy_init easy_setopt multi_add_handle slist_append url url_get url_set)
CRITERION_obj = -lcriterion
CRITERION_asan = -lcriterion

objects = $(patsubst %.c,$(B)/$(2)/%.o,$(1))
programs = $(patsubst %.c,$(B)/$(2)/%,$(1))

# ---- products -------------------------------------------------------------

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: abi all bench chaos check clean coverage covered demo deps examples force fuzz help lint packages sanitize storm valgrind
all: $(B)/libnss_etcdsd.so.2 $(B)/libsd.so.1 $(B)/libsd.so $(B)/libsd.a $(B)/libsd.pc \
	$(B)/etcdsd-watcher $(B)/etcdsd $(MANUALS3)

# One segment for code and constants: every process maps it, and is spared two
# mappings and the padding between them.
$(B)/libnss_etcdsd.so.2: $(call objects,$(MODULE) $(TABLE_READER),obj) nss/module/libnss_etcdsd.map Makefile
	$(CC) $(LINK) -shared -Wl,-soname,$(@F),-z,nodelete,-z,noseparate-code -Wl,--version-script=nss/module/$(@F:.so.2=.map) \
		$(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^)

$(B)/libsd.so.1: $(call objects,$(LIBSD) $(TABLE_READER),obj) libsd/libsd.map Makefile
	$(CC) $(LINK) -shared -Wl,-soname,$(@F) -Wl,--version-script=libsd/libsd.map \
		$(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(CURL_LIBS)

$(B)/libsd.so: $(B)/libsd.so.1
	ln -sf $(<F) $@

# One object in which all but libsd_* is local, so that a program that links
# it may use any other name.
$(B)/libsd.a: $(call objects,$(LIBSD) $(TABLE_READER),obj) Makefile
	$(CC) -r -nostdlib -o $(@:.a=.o) $(filter %.o,$^)
	$(OBJCOPY) --localize-hidden $(@:.a=.o)
	rm -f $@ && $(AR) rcs $@ $(@:.a=.o) && rm $(@:.a=.o)

# Several may do this at the same time, as tests that install do.
$(B)/libsd.pc: libsd/libsd.pc.in force
	@mkdir -p $(@D)
	@new=$$(mktemp $@.XXXXXX) && chmod 644 $$new && sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
		-e 's|@version@|$(VERSION)|' \
		$< >$$new && if cmp -s $$new $@; then rm $$new; else mv $$new $@; fi

# Manual pages of functions are made from the headers; each has links by the
# names of its functions.
$(B)/man/%: packaging/man/%.in packaging/man/from-headers.awk $(HEADERS)
	@mkdir -p $(@D)
	awk -f packaging/man/from-headers.awk $(HEADERS) $< >$@

# In build/ the programs find libsd.so.1 beside themselves; those that are
# installed hold no path.
$(B)/etcdsd-watcher $(B)/etcdsd: RPATH = -Wl,-rpath,'$$ORIGIN'
$(B)/etcdsd $(B)/install/etcdsd: $(call objects,$(CLI) $(CONF) $(TABLE_READER),obj) $(B)/libsd.so.1
	@mkdir -p $(@D)
	$(CC) $(LINK) -pie $(RPATH) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(B)/etcdsd-watcher $(B)/install/etcdsd-watcher: $(call objects,$(WATCHER) $(CONF),obj) $(B)/obj/table.a \
		$(B)/libsd.so.1
	@mkdir -p $(@D)
	$(CC) $(LINK) -pie $(RPATH) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(EXAMPLES:tests/examples/%.c=$(B)/%): $(B)/%: $(B)/obj/tests/examples/%.o $(B)/libsd.so.1
	$(CC) $(LINK) -pie -Wl,-rpath,'$$ORIGIN' $(CFLAGS) $(LDFLAGS) -o $@ $^

$(B)/bench/bench: $(call objects,$(BENCH),obj) $(B)/obj/table.a
	@mkdir -p $(@D)
	$(CC) $(LINK) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(B)/bench/pipeline $(B)/bench/fleet: $(B)/bench/%: $(B)/obj/tests/bench/%.o $(B)/libsd.so.1
	@mkdir -p $(@D)
	$(CC) $(LINK) -Wl,-rpath,'$$ORIGIN/..' $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CURL_LIBS)

$(B)/bench/pick: $(call objects,tests/bench/pick.c tests/bench/fill.c,obj) $(B)/obj/internal.a
	@mkdir -p $(@D)
	$(CC) $(LINK) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CURL_LIBS)

# libnss_null.so.2 gives one address, libnss_null3.so.2 three.
NULL_MODULES = $(addprefix $(B)/bench/libnss_null,.so.2 3.so.2 8.so.2)
$(NULL_MODULES): $(B)/bench/libnss_null%so.2: tests/bench/null_module.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CPPFLAGS) $(CFLAGS) $(LINK) -shared -Wl,-soname,$(@F),-z,nodelete \
		$(if $(*:.=),-DMODULE=null$(*:.=) -DANSWERS=$(*:.=)) $(LDFLAGS) -o $@ $<

$(CHAOS:%.c=$(B)/obj/%): $(B)/obj/%: $(B)/obj/%.o $(B)/libsd.so.1
	$(CC) $(LINK) -Wl,-rpath,$(CURDIR)/$(B) $(CFLAGS) $(LDFLAGS) -o $@ $^

# Small programs that tests run.
$(B)/obj/tests/helpers/%: $(B)/obj/tests/helpers/%.o
	$(CC) $(LINK) $(CFLAGS) $(LDFLAGS) -o $@ $<

# ---- objects, and programs of tests ---------------------------------------

# Unit tests may call anything in the tree; integration tests see what users
# see, that is libsd.so.1, except under sanitizers and for tests/coverage.
SEEN = $(B)/libsd.so.1
define kind
$(B)/$(1)/%.o: %.c $(B)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) $$(KIND_$(1)) $$(CURL_CFLAGS) $$(CPPFLAGS) $$(CFLAGS) -MMD -MP -c -o $$@ $$<

$(B)/$(1)/table.a: $$(call objects,$(TABLE_READER) $(TABLE_WRITER),$(1))
$(B)/$(1)/internal.a: $$(call objects,$(LIBSD) $(TABLE_READER) $(TABLE_WRITER) $(MODULE) \
	$(filter-out %/main.c,$(WATCHER) $(CLI)),$(1))
$(B)/$(1)/support.a: $$(call objects,$(TEST_SUPPORT),$(1))
$(B)/$(1)/fuzz.a: $$(call objects,$(FUZZ_SUPPORT),$(1))
$(B)/$(1)/%.a: Makefile
	rm -f $$@ && $$(AR) qcs $$@ $$(filter %.o,$$^)

$(B)/$(1)/tests/unit/%: $(B)/$(1)/tests/unit/%.o $(B)/$(1)/support.a $(B)/$(1)/internal.a
	$$(CC) $$(LINK) $$(KIND_$(1)) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(CRITERION_$(1)) $$(CURL_LIBS)

# The stage has a table of paper, which takes the real one's place.
$(B)/$(1)/tests/unit/test_mirr%: $(B)/$(1)/tests/unit/test_mirr%.o $(B)/$(1)/tests/unit/mirror_stage.o \
		$(B)/$(1)/support.a $(B)/$(1)/internal.a
	$$(CC) $$(LINK) $$(KIND_$(1)) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(CRITERION_$(1)) $$(CURL_LIBS)

$(B)/$(1)/tests/integration/%: $(B)/$(1)/tests/integration/%.o $(B)/$(1)/support.a \
		$(if $(filter obj,$(1)),$(SEEN),$(B)/$(1)/internal.a)
	$$(CC) $$(LINK) $$(KIND_$(1)) -Wl,-rpath,$(CURDIR)/$(B) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ \
		$$(CRITERION_$(1)) $$(CURL_LIBS)

# Their linker puts itself between libsd and the memory.
$(B)/$(1)/tests/integration/libsd/test_memory_%: $(B)/$(1)/tests/integration/libsd/test_memory_%.o \
		$(B)/$(1)/support.a $(B)/$(1)/internal.a
	$$(CC) $$(LINK) $$(KIND_$(1)) $$(MEMORY_WRAPS:%=-Wl,--wrap=%) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ \
		$$(CRITERION_$(1)) $$(CURL_LIBS)

# libFuzzer has a main() of its own, else it is that of replay.c.
$(B)/$(1)/tests/fuzz/%: $(B)/$(1)/tests/fuzz/%.o $(if $(filter fuzz,$(1)),,$(B)/$(1)/tests/fuzz/replay.o) \
		$(B)/$(1)/fuzz.a $(B)/$(1)/internal.a
	$$(CC) $$(LINK) $$(KIND_$(1)) $(if $(filter fuzz,$(1)),-fsanitize=fuzzer) $$(CFLAGS) $$(LDFLAGS) \
		-o $$@ $$^ $$(CURL_LIBS)
endef
$(foreach k,$(KINDS),$(eval $(call kind,$(k))))

# Other flags, other objects; other lists in this file, other links.
$(B)/flags: force | packages
	@mkdir -p $(@D)
	@echo '$(CC) $(BASE) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(BASE) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' >$@

# A plain build says what is missing; what runs tests installs it.
packages:
ifneq (,$(filter abi chaos check demo deps sanitize storm,$(MAKECMDGOALS)))
	@packaging/install-deps build test $(if $(filter check,$(MAKECMDGOALS)),programs)
else ifneq (,$(filter valgrind,$(MAKECMDGOALS)))
	@packaging/install-deps build test valgrind
else ifneq (,$(filter fuzz,$(MAKECMDGOALS)))
	@packaging/install-deps build fuzz
else
	@command -v $(firstword $(CC)) >/dev/null && $(PKG_CONFIG) --exists libcurl || { echo \
	"A C compiler ($(CC)), pkg-config or libcurl is missing: run 'make deps' first." >&2; exit 1; }
endif

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- what one types -------------------------------------------------------

SOURCES = $(sort $(LIBSD) $(TABLE_READER) $(TABLE_WRITER) $(MODULE) $(WATCHER) $(CLI))
TESTS = $(call programs,$(UNIT_TESTS),obj) $(call programs,$(UNIT_TESTS),asan) \
	$(call programs,$(FUZZ_TARGETS),asan) $(call programs,$(INTEGRATION_TESTS),obj) $(SHELL_TESTS) \
	tests/chaos/selftest tests/chaos/brief
SANITIZED = $(call programs,$(UNIT_TESTS) $(INTEGRATION_TESTS),asan) $(call programs,$(TSAN_TESTS),tsan)

help: ## this list
	@echo '  make                build everything into build/'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile packaging/install.mk | expand -t 22
	@echo 'Variables: prefix, libdir, DESTDIR, CC, CFLAGS, CPPFLAGS, LDFLAGS, as GNU make conventions have them.'

deps: packages ## install the Debian packages that building and testing need

check: all $(B)/install/etcdsd-watcher $(B)/install/etcdsd $(EXAMPLES:tests/examples/%.c=$(B)/%) $(call programs,$(HELPERS) $(CHAOS),obj) $(filter $(B)/%,$(TESTS)) ## install what is missing, build, run all tests
	@tests/run $(B)/log $(TESTS)

sanitize: all $(call programs,$(HELPERS),obj) $(SANITIZED) ## run the tests under address, undefined and thread sanitizers
	@tests/run $(B)/log $(SANITIZED)

# Left out are the tests of shipped binaries, of packages, of what is made twice,
# and of what is in build/ only.  The counts of before go, and any user may write new ones.
COVERED = $(call programs,$(UNIT_TESTS) $(FUZZ_TARGETS) $(INTEGRATION_TESTS),obj) \
	$(filter-out $(addprefix tests/integration/,abi.sh binary.sh demo.sh dist.sh install.sh link.sh guides.sh programs.sh),$(SHELL_TESTS))
covered: all $(B)/install/etcdsd-watcher $(B)/install/etcdsd $(EXAMPLES:tests/examples/%.c=$(B)/%) $(call programs,$(HELPERS),obj) $(filter $(B)/%,$(COVERED))
	@find $(B)/obj -name '*.gcno' | sed 's/gcno$$/gcda/' | xargs -n 1 install -m 666 /dev/null
	@BUILD=$(CURDIR)/$(B) TEST_TIMEOUT=600 tests/run $(B)/log $(COVERED)

coverage: ## say which lines the tests reach: build/coverage/coverage.md, uncovered.txt
	+@tests/coverage $(B)/coverage

# Leaks are the address sanitizer's; what a forked child can't free safely is none.
VALGRIND = valgrind -q --error-exitcode=99 --leak-check=no --trace-children=yes \
	--trace-children-skip=*/etcd,*/etcdctl,*/sh,*/bash,*/rm,*/openssl
VALGRIND_TESTS = $(addprefix tests/integration/libsd/test_,async.c discovery.c discovery_callbacks.c election.c kv.c lock.c ops.c register.c txn.c watch.c)
valgrind: all $(call programs,$(VALGRIND_TESTS),obj) ## run the tests of libsd's essence under valgrind
	UNDER_VALGRIND=1 TEST_UNDER='$(VALGRIND)' TEST_TIMEOUT=900 tests/run $(B)/log $(call programs,$(VALGRIND_TESTS),obj)

fuzz: $(call programs,$(FUZZ_TARGETS),fuzz) ## look for crashing inputs, FUZZ_SECONDS (60) for each parser
	@tests/fuzz/run $(FUZZ_SECONDS) $^

CHAOS_READS = 100M
CHAOS_FAULTS = 200
CHAOS_TIMES = 50
CHAOS_TESTS = $(addprefix tests/unit/test_,race.c killed.c process.c sandbox.c) \
	$(addprefix tests/integration/libsd/test_,cycles.c cycles_cluster.c faults.c gateway_stream.c soak.c)
CHAOS_SCRIPTS = $(addprefix tests/integration/watcher/,killed.sh frozen.sh)
SOAK_SECONDS = 1800
chaos: all $(B)/user-service $(call programs,$(HELPERS) $(CHAOS) $(CHAOS_TESTS),obj) ## the long tests: 100 million checked reads, 200 faults, 7500 forks, 200,000 loads, half an hour of kills; then storm
	READS=$(CHAOS_READS) FAULT_CYCLES=$(CHAOS_FAULTS) LONG=$(CHAOS_TIMES) SOAK_SECONDS=$(SOAK_SECONDS) \
		KILLS=$(CHAOS_FAULTS) FREEZE=60 \
		TEST_TIMEOUT=$$(($(SOAK_SECONDS) + 1800)) tests/run $(B)/log \
		$(call programs,$(CHAOS_TESTS),obj) $(CHAOS_SCRIPTS)
	tests/chaos/run

storm: all $(call programs,$(CHAOS),obj) ## break a whole world for CHAOS_SECONDS (900), check each answer; CHAOS_SEED= repeats
	tests/chaos/run

bench: all $(B)/bench/bench $(B)/bench/pick $(B)/bench/pipeline $(B)/bench/fleet $(B)/user-service $(NULL_MODULES) ## what everything costs, beside our peers: tables and plots in build/bench (10 minutes)
	@tests/bench/run $(B)

demo: all $(B)/user-service ## see names from etcd resolve, in private namespaces
	@tests/demo/demo.sh

abi: $(B)/libsd.so.1 ## write libsd's interface down in tests/abi, where it was meant to change
	@tests/abi/dump $< tests/abi $(HEADERS)
	@packaging/debian-symbols $(VERSION) $<

lint: $(MANUALS3) $(call objects,$(SOURCES) $(EXAMPLES),analyze) ## formatting, clang-tidy, cppcheck, gcc -fanalyzer, shellcheck, mandoc
	@tests/lint

include packaging/install.mk

clean: ## remove build/
	rm -rf $(B)
