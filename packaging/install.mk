# make install, uninstall, dist: what goes where.  Included by ../Makefile.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The directories are named as in the GNU Coding Standards, "Variables for
# Installation Directories", with one difference: sysconfdir, localstatedir and
# runstatedir are not below the prefix.  Module, watcher and services meet at
# /etc/etcdsd, /var/lib/etcdsd and /run/etcdsd, whoever installed them.

exec_prefix = $(prefix)
bindir = $(exec_prefix)/bin
sbindir = $(exec_prefix)/sbin
multiarch = $(eval multiarch := $(shell $(CC) -print-multiarch 2>/dev/null))$(multiarch)
libdir = $(exec_prefix)/lib$(addprefix /,$(multiarch))
includedir = $(prefix)/include
datarootdir = $(prefix)/share
mandir = $(datarootdir)/man
docdir = $(datarootdir)/doc/etcdsd
sysconfdir = /etc
localstatedir = /var
runstatedir = /run
# systemd's own, and those of the shells.
systemdunitdir = $(prefix)/lib/systemd/system
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
bashcompletiondir = $(datarootdir)/bash-completion/completions
zshcompletiondir = $(datarootdir)/zsh/site-functions
fishcompletiondir = $(datarootdir)/fish/vendor_completions.d

INSTALL = install
INSTALL_PROGRAM = $(INSTALL)
INSTALL_DATA = $(INSTALL) -m 644
# A library is stripped like a program and not executed like one.
INSTALL_LIBRARY = $(INSTALL_PROGRAM) -m 644

VERSION = $(eval VERSION := $(shell sed -n 's/^#define LIBSD_VERSION "\(.*\)"/\1/p' libsd/libsd.h))$(VERSION)

# ---- what goes where ------------------------------------------------------
# PLACE_dir takes PLACE_files, by $(INSTALL_<PLACE_how>).

I = $(B)/install
SECTIONS = $(patsubst .%,%,$(sort $(suffix $(MANUALS) $(MANUALS3))))
PLACES = bin sbin lib archive pkgconfig include unit sysusers tmpfiles bash zsh fish doc $(SECTIONS:%=man%)

bin_dir = $(bindir)
bin_how = PROGRAM
bin_files = $I/etcdsd
sbin_dir = $(sbindir)
sbin_how = PROGRAM
sbin_files = $I/etcdsd-watcher
lib_dir = $(libdir)
lib_how = LIBRARY
lib_files = $(B)/libnss_etcdsd.so.2 $(B)/libsd.so.1
archive_dir = $(libdir)
archive_files = $(B)/libsd.a
pkgconfig_dir = $(libdir)/pkgconfig
pkgconfig_files = $(B)/libsd.pc
include_dir = $(includedir)
include_files = $(HEADERS)
unit_dir = $(systemdunitdir)
unit_files = $I/etcdsd-watcher.service
sysusers_dir = $(sysusersdir)
sysusers_files = $I/sysusers/etcdsd.conf
tmpfiles_dir = $(tmpfilesdir)
tmpfiles_files = $I/tmpfiles/etcdsd.conf
bash_dir = $(bashcompletiondir)
bash_files = $(wildcard packaging/completions/etcdsd)
zsh_dir = $(zshcompletiondir)
zsh_files = $(wildcard packaging/completions/_etcdsd)
fish_dir = $(fishcompletiondir)
fish_files = $(wildcard packaging/completions/etcdsd.fish)
doc_dir = $(docdir)
doc_files = README.md $(wildcard packaging/doc/*.md)
$(foreach n,$(SECTIONS),$(eval man$n_dir = $(mandir)/man$n)$(eval man$n_files = $(filter %.$n,$(MANUALS) $(MANUALS3))))

installed = $(addprefix $(DESTDIR)$($1_dir)/,$(notdir $($1_files)))
INSTALLED = $(foreach p,$(PLACES),$(call installed,$p)) $(DESTDIR)$(libdir)/libsd.so
LDCONFIG = $(if $(DESTDIR),,-ldconfig)

SAMPLE = $(wildcard packaging/conf/etcdsd.conf)
CONFIGURATION = $(DESTDIR)$(sysconfdir)/etcdsd/etcdsd.conf

define place
	@$(INSTALL) -d $(DESTDIR)$($1_dir)
	$(INSTALL_$(or $($1_how),DATA)) $($1_files) $(DESTDIR)$($1_dir)

endef

# ---- targets --------------------------------------------------------------

.PHONY: dist distcheck install install-strip installcheck uninstall
INSTALLING = all $(foreach p,$(PLACES),$($p_files))

install: $(INSTALLING) ## install below $(DESTDIR)$(prefix)
	$(foreach p,$(PLACES),$(if $($p_files),$(call place,$p)))
	ln -sf libsd.so.1 $(DESTDIR)$(libdir)/libsd.so
	@for page in $(MANUALS3); do for name in $$(sed -n 's/^\.Fo //p' $$page); do \
		[ -e $(B)/man/$$name.3 ] || ln -sf $${page##*/} $(DESTDIR)$(mandir)/man3/$$name.3; done; done
	@$(INSTALL) -d $(dir $(CONFIGURATION))
	$(if $(SAMPLE),[ -e $(CONFIGURATION) ] || $(INSTALL_DATA) $(SAMPLE) $(CONFIGURATION))
	$(LDCONFIG)

install-strip: INSTALL_PROGRAM += -s
install-strip: install ## the same without symbols of programs and libraries

# What is installed says that it is of this tree.
installcheck: ## look whether the installed programs run
	for program in $(DESTDIR)$(bindir)/etcdsd $(DESTDIR)$(sbindir)/etcdsd-watcher; do \
		LD_LIBRARY_PATH=$(DESTDIR)$(libdir) $$program --version | grep -qwF '$(VERSION)' || \
		{ echo "$$program is not of version $(VERSION)" >&2; exit 1; }; done

# A configuration stays unless it is the sample; our own directories go if they
# are empty.
uninstall: ## remove what install put there
	@[ ! -d $(DESTDIR)$(mandir)/man3 ] || find $(DESTDIR)$(mandir)/man3 -type l \( $(patsubst %,-lname % -o,$(notdir $(MANUALS3))) -false \) -delete
	rm -f $(INSTALLED)
	$(if $(SAMPLE),! cmp -s $(SAMPLE) $(CONFIGURATION) || rm -f $(CONFIGURATION))
	@rmdir $(dir $(CONFIGURATION)) $(DESTDIR)$(docdir) 2>/dev/null || :
	$(LDCONFIG)

TARBALL = $(B)/etcdsd-$(VERSION).tar.xz
dist: ## pack the tree as build/etcdsd-VERSION.tar.xz
	packaging/dist $(VERSION) $(TARBALL)

# The tests of the tarball, out of the tarball; none may change its files.
distcheck: dist ## unpack that and run all tests in there
	rm -rf $(B)/distcheck && mkdir $(B)/distcheck
	tar -xJf $(TARBALL) -C $(B)/distcheck
	+$(MAKE) -C $(B)/distcheck/etcdsd-$(VERSION) check
	tar --compare -Jf $(TARBALL) -C $(B)/distcheck
	rm -rf $(B)/distcheck

.PHONY: deb deb-check rpm rpm-check
deb: dist ## build the Debian packages into build/deb/
	packaging/deb $(VERSION) $(TARBALL) $(B)/deb

rpm: dist ## build the RPM packages into build/rpm/
	packaging/rpm/build $(TARBALL) $(B)/rpm

# Too long for `make check`: it builds everything anew.
deb-check: deb all $(B)/user-service ## install, upgrade, remove and purge them under an overlay; build them again
	@TEST_TIMEOUT=900 tests/run $(B)/log tests/packages/deb.sh

rpm-check: rpm all $(B)/user-service ## install, upgrade and remove them under an overlay
	@TEST_TIMEOUT=900 tests/run $(B)/log tests/packages/rpm.sh

$I/%.service: packaging/systemd/%.service force
	@mkdir -p $(@D)
	@new=$$(mktemp $@.XXXXXX) && chmod 644 $$new && sed 's|/usr/sbin/|$(sbindir)/|' $< >$$new && if cmp -s $$new $@; then rm $$new; else mv $$new $@; fi

$I/sysusers/%.conf: packaging/systemd/%.sysusers
	@mkdir -p $(@D)
	cp $< $@

$I/tmpfiles/%.conf: packaging/systemd/%.tmpfiles
	@mkdir -p $(@D)
	cp $< $@
