# SPDX-License-Identifier: LGPL-2.1-or-later
# procsnap. `make help` lists the targets.

VERSION := 0.1.0

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/procsnap
MANDIR ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
# polkit looks nowhere else.
POLKITDIR ?= /usr/share/polkit-1/actions
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
CATALOGDIR ?= $(PREFIX)/lib/systemd/catalog

BUILD ?= build
CC ?= cc
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
CLANG ?= clang
SCDOC ?= scdoc
INSTALL ?= install

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' $(1) '$(2)'
endif

# -- What is needed ----------------------------------------------------------------------------

# library:Debian package
NEEDED := json-c:libjson-c-dev libzstd:libzstd-dev smartcols:libsmartcols-dev \
	libseccomp:libseccomp-dev libcap:libcap-dev zlib:zlib1g-dev libsystemd:libsystemd-dev \
	libacl:libacl1-dev nettle:nettle-dev libdw:libdw-dev libelf:libelf-dev
no_build_goals := help clean uninstall format lint-text deb
ifneq ($(filter-out $(no_build_goals),$(or $(MAKECMDGOALS),all)),)
ifeq ($(shell command -v $(PKG_CONFIG)),)
$(error pkg-config is missing: apt install pkg-config)
endif
missing := $(foreach n,$(NEEDED),$(if $(shell $(PKG_CONFIG) --exists $(firstword $(subst :, ,$(n))) \
	&& echo yes),,$(n)))
# In Debian 12 libdwarf does not tell pkg-config about itself.
has_dwarf := $(shell printf '\043include <libdwarf/libdwarf.h>\n' | $(CC) $(CPPFLAGS) -E - \
	>/dev/null 2>&1 && echo yes)
ifeq ($(has_dwarf),)
missing += libdwarf:libdwarf-dev
endif
ifneq ($(strip $(missing)),)
$(foreach n,$(missing),$(info procsnap needs the library $(firstword $(subst :, ,$(n))): \
apt install $(lastword $(subst :, ,$(n)))))
$(error libraries are missing; ./setup.sh deps installs all of them)
endif
JSON_CFLAGS := $(shell $(PKG_CONFIG) --cflags json-c)
JSON_LIBS := $(shell $(PKG_CONFIG) --libs json-c)
# Of libcommon.a; whoever does not need one of them is not linked with it.
COMMON_LIBS := $(JSON_LIBS) $(shell $(PKG_CONFIG) --libs nettle)
ZSTD_LIBS := $(shell $(PKG_CONFIG) --libs libzstd)
SECCOMP_LIBS := $(shell $(PKG_CONFIG) --libs libseccomp)
SYSTEMD_LIBS := $(shell $(PKG_CONFIG) --libs libsystemd)
ACL_LIBS := $(shell $(PKG_CONFIG) --libs libacl)
CAP_LIBS := $(shell $(PKG_CONFIG) --libs libcap)
DW_LIBS := $(shell $(PKG_CONFIG) --libs libdw libelf)
DWARF_LIBS := -ldwarf $(shell $(PKG_CONFIG) --libs zlib)
SMARTCOLS_CFLAGS := $(shell $(PKG_CONFIG) --cflags smartcols)
SMARTCOLS_LIBS := $(shell $(PKG_CONFIG) --libs smartcols)
endif

# -- Flags -------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wcast-qual -Wvla -Wformat=2 -Wnull-dereference \
	-Wimplicit-fallthrough -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith
# json-c hands out const text and takes it back without; iovec and msghdr have no const either.
WARNINGS += -Wno-cast-qual
ifneq ($(WERROR),)
WARNINGS += -Werror
endif
HARDEN := -fstack-clash-protection -fcf-protection=full -fstack-protector-strong -fPIE
ifeq ($(SANITIZE),)
HARDEN += -D_FORTIFY_SOURCE=2
endif
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,--as-needed

ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. $(WARNINGS) $(HARDEN) -pthread \
	$(JSON_CFLAGS) $(SMARTCOLS_CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) \
	-fno-omit-frame-pointer -DPROCSNAP_VERSION='"$(VERSION)"' \
	-DLIBEXECDIR='"$(LIBEXECDIR)"' $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)

# -- Sources -----------------------------------------------------------------------------------

ARCH := $(shell uname -m)
by_arch = $(filter-out $(filter-out $(1)/arch_$(ARCH).c,$(wildcard $(1)/arch_*.c)),\
	$(wildcard $(1)/*.c))

COMMON_SRC := $(wildcard common/*.c)
PTRACE_SRC := $(call by_arch,ptrace)
DUMPER_SRC := $(call by_arch,dumper)
ANALYZER_SRC := $(wildcard analyzer/*.c analyzer/go/*.c)
# Not one of them: what has libdw must not have libdwarf.
STACKS_SRC := $(wildcard analyzer/stacks/*.c)
DAEMON_SRC := $(wildcard daemon/*.c)
SYSTEMD_SRC := $(wildcard systemd/*.c)
SNAPCTL_SRC := $(wildcard cmd/snapctl/*.c)
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROGRAMS := $(BUILD)/snapctl $(BUILD)/procsnapd $(BUILD)/procsnap-worker \
	$(BUILD)/procsnap-analyze $(BUILD)/procsnap-unwind $(BUILD)/procsnap-corehook
MAN := $(patsubst man/%.scd,$(BUILD)/man/%,$(wildcard man/*.scd))

UNIT_SRC := $(wildcard tests/unit/test-*.c)
UNITS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
FUZZ_SRC := $(wildcard tests/fuzz/fuzz-*.c)
FUZZ_H := $(wildcard tests/fuzz/*.h tests/unit/go*.h)
# Every fuzz target is also a plain program that runs its corpus once.
REPLAYS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(FUZZ_SRC))
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
# Programs by which tests reach what no option of snapctl shows.
DRIVERS := $(patsubst tests/drivers/%.c,$(BUILD)/tests/drivers/%,$(wildcard tests/drivers/*.c))
TARGET_SRC := $(wildcard tests/targets/*.c)
TARGETS := $(patsubst tests/targets/%.c,$(BUILD)/targets/%,$(TARGET_SRC))
TARGETS32 := $(patsubst %,$(BUILD)/targets/%-32,simple threads eintr signals bits32 memory churn \
	exec-storm vfork-parent zombie-leader invariant)
GO_TARGETS := $(patsubst tests/targets/%/go.mod,$(BUILD)/targets/%,$(wildcard tests/targets/*/go.mod))

.PHONY: all help man tests targets check check-unit check-asan check-valgrind fuzz lint lint-text \
	bench soak machine format install uninstall deb clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS) man ## Build everything into build/, runnable in place

help: ## Show this list
	@awk -F':.*## ' '/^[a-z.%_-]+:.*## / { printf "  make %-24s %s\n", $$1, $$2 }' Makefile

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libcommon.a: $(call obj,$(COMMON_SRC))
$(BUILD)/libptrace.a: $(call obj,$(PTRACE_SRC))
$(BUILD)/libdumper.a: $(call obj,$(DUMPER_SRC))
$(BUILD)/libanalyzer.a: $(call obj,$(ANALYZER_SRC))
$(BUILD)/libdaemon.a: $(call obj,$(DAEMON_SRC) $(SYSTEMD_SRC)) $(BUILD)/obj/daemon/interface.o
$(BUILD)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# The text of the interface, which the daemon shows to whoever asks.
$(BUILD)/gen/interface.c: daemon/io.procsnap.varlink
	$(Q)mkdir -p $(@D)
	$(Q)sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/; 1i const char api_interface_text[] =' $< >$@
	$(Q)echo ';' >>$@

$(BUILD)/obj/daemon/interface.o: $(BUILD)/gen/interface.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/snapctl: $(call obj,$(SNAPCTL_SRC)) $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS) $(SMARTCOLS_LIBS) \
		$(ZSTD_LIBS)

$(BUILD)/procsnap-worker: $(call obj,cmd/procsnap-worker.c $(wildcard cmd/worker/*.c)) $(BUILD)/libptrace.a \
		$(BUILD)/libdumper.a $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS) $(ZSTD_LIBS)

$(BUILD)/procsnap-corehook: $(call obj,cmd/procsnap-corehook.c $(wildcard cmd/corehook/*.c)) \
		$(BUILD)/libptrace.a $(BUILD)/libdumper.a $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS) $(ZSTD_LIBS)

$(BUILD)/procsnap-analyze: $(call obj,cmd/procsnap-analyze.c) $(BUILD)/libanalyzer.a \
		$(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS) $(ZSTD_LIBS) $(SECCOMP_LIBS) \
		$(CAP_LIBS) $(DWARF_LIBS)

$(BUILD)/procsnap-unwind: $(call obj,cmd/procsnap-unwind.c analyzer/sandbox.c $(STACKS_SRC)) \
		$(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS) \
		$(DW_LIBS)

$(BUILD)/procsnapd: $(call obj,cmd/procsnapd.c) $(BUILD)/libdaemon.a $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS) $(SYSTEMD_LIBS) $(ACL_LIBS) \
		$(CAP_LIBS)

man: $(MAN) ## Build the manual pages

# The first line says that there are tables, which scdoc does not.
$(BUILD)/man/%: man/%.scd
	$(call say,MAN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)command -v $(SCDOC) >/dev/null || { \
		echo 'scdoc is missing, which makes the manual pages: apt install scdoc' >&2; exit 1; }
	$(Q){ printf '%s\n' "'\\\" t" && \
		sed 's/@VERSION@/$(VERSION)/g; s|@LIBEXECDIR@|$(LIBEXECDIR)|g' $< | $(SCDOC); } >$@

# -- Tests -------------------------------------------------------------------------------------

# Optimised tests would not keep the frames that debuggers are asked about.
TARGET_CFLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer -Wall -Wextra -pthread

$(BUILD)/tests/test-%: tests/unit/test-%.c $(wildcard tests/unit/*.h) $(BUILD)/libptrace.a \
		$(BUILD)/libdumper.a $(BUILD)/libanalyzer.a $(BUILD)/libdaemon.a \
		$(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wno-missing-prototypes -o $@ $(filter %.c %.a,$^) \
		$(COMMON_LIBS) $(ZSTD_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS) $(DWARF_LIBS) $(SYSTEMD_LIBS) \
		$(ACL_LIBS) -lcmocka

$(BUILD)/tests/fuzz-%: tests/fuzz/fuzz-%.c tests/fuzz/replay.c $(FUZZ_H) $(BUILD)/libptrace.a \
		$(BUILD)/libdumper.a $(BUILD)/libanalyzer.a $(BUILD)/libdaemon.a \
		$(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wno-missing-prototypes -o $@ $(filter %.c %.a,$^) \
		$(COMMON_LIBS) $(ZSTD_LIBS) $(DWARF_LIBS) $(SYSTEMD_LIBS) $(ACL_LIBS) $(CAP_LIBS)

$(BUILD)/tests/drivers/%: tests/drivers/%.c $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COMMON_LIBS)

$(BUILD)/targets/%: tests/targets/%.c $(wildcard tests/targets/*.h)
	$(call say,TARGET,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TARGET_CFLAGS) -o $@ $<

$(BUILD)/targets/%-32: tests/targets/%.c $(wildcard tests/targets/*.h)
	$(call say,TARGET,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -m32 $(TARGET_CFLAGS) -Wno-psabi -o $@ $< 2>$@.log || \
		{ echo "no 32-bit compiler: apt install gcc-multilib; its tests will be skipped"; }

$(BUILD)/targets/gohttp: $(wildcard tests/targets/gohttp/*.go)
$(BUILD)/targets/goprof: $(wildcard tests/targets/goprof/*.go)
$(BUILD)/targets/%: tests/targets/%/main.go tests/targets/%/go.mod
	$(call say,GO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)cd tests/targets/$* && GOTOOLCHAIN=local GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=0 go build \
		-o $(abspath $@) . || echo "no Go: apt install golang-go; its tests will be skipped"

targets: $(TARGETS) $(TARGETS32) $(GO_TARGETS) ## Build the processes that tests dump
tests: $(UNITS) $(REPLAYS) $(DRIVERS) targets ## Build all tests

check: ## Run all tests (as root; what needs root is skipped otherwise)
	$(Q)$(MAKE) --no-print-directory WERROR=1 all tests
	$(Q)tests/run $(BUILD)

check-unit: $(UNITS) $(REPLAYS) ## Run the unit tests and the fuzz corpora only
	$(Q)tests/run --unit $(BUILD)

ASAN := SANITIZE=address,undefined BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-sanitize-recover=all'
check-asan: ## Run all tests with AddressSanitizer and UBSan
	$(Q)$(MAKE) --no-print-directory $(ASAN) WERROR=1 all tests
	$(Q)tests/run --asan $(BUILD)/asan

check-valgrind: all tests ## Run the unit tests, the corpora and some dumps under valgrind
	$(Q)tests/run --valgrind $(BUILD)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(COMMON_SRC) $(PTRACE_SRC) $(DUMPER_SRC) $(ANALYZER_SRC) \
		$(DAEMON_SRC) $(SYSTEMD_SRC) $(BUILD)/gen/interface.c $(FUZZ_H)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(filter-out -fcf-protection=full,$(ALL_CFLAGS)) -O1 -Wno-everything \
		-fsanitize=fuzzer,address,undefined -o $@ $(filter %.c,$^) $(COMMON_LIBS) \
		$(ZSTD_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS) $(DWARF_LIBS) $(SYSTEMD_LIBS) $(ACL_LIBS)

FUZZ_SECONDS ?= 60
fuzz: $(FUZZERS) ## Fuzz every parser for FUZZ_SECONDS (60) each, beginning with its corpus
	$(Q)for f in $(FUZZERS); do n=$${f##*/fuzz-}; mkdir -p $(BUILD)/fuzz/found-$$n; \
		$$f -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1 \
		-artifact_prefix=$(BUILD)/fuzz/crash-$$n- $(BUILD)/fuzz/found-$$n \
		tests/fuzz/corpus/$$n || exit 1; done

bench: all targets ## Compare with gdb's gcore, delve and systemd-coredump on the same processes
	$(Q)tests/bench/bench $(BUILD)
	$(Q)tests/bench/pausebench $(BUILD)
	$(Q)tests/bench/latencybench $(BUILD)
	$(Q)tests/bench/gobench $(BUILD)
	$(Q)tests/bench/daemonbench $(BUILD)
	$(Q)tests/bench/crashbench $(BUILD)

SOAK_MINUTES ?= 10
soak: all targets ## Kill and stop workers in many targets for SOAK_MINUTES (10)
	$(Q)tests/soak --minutes=$(SOAK_MINUTES) $(BUILD)

machine: all targets ## Boot a machine in qemu, install the package there, and have it crash
	$(Q)tests/machine/walk $(BUILD)

# -- Keeping the house clean -------------------------------------------------------------------

LINT_SRC := $(COMMON_SRC) $(PTRACE_SRC) $(DUMPER_SRC) $(ANALYZER_SRC) $(STACKS_SRC) $(DAEMON_SRC) \
	$(SYSTEMD_SRC) $(SNAPCTL_SRC) \
	$(wildcard cmd/*.c cmd/worker/*.c cmd/corehook/*.c)
SHELL_SRC := setup.sh .ci/run tests/run tests/soak $(wildcard tests/*.sh tests/bench/*bench tests/lint/*) \
	tests/golang/fetch tests/golang/matrix tests/golang/crash tests/tools/fetch-coredumpctl \
	tests/tools/build \
	$(wildcard completions/*.bash)

# What it says of every file when there is no compile_commands.json, which it does not need here.
TIDY_NOISE := [Cc]ompilation[ -]database|^Running without flags

# One file at a time: of several, clang-tidy finds va_lists of the later ones not initialised.
lint: lint-text ## Check with clang-tidy, cppcheck, shellcheck, codespell, mandoc
	$(call say,TIDY,$(words $(LINT_SRC)) files)
	$(Q)mkdir -p $(BUILD)
	$(Q)printf '%s\n' $(LINT_SRC) | xargs -P 2 -n 1 clang-tidy --quiet --warnings-as-errors='*' \
		--extra-arg=-Wno-unknown-warning-option >$(BUILD)/tidy.log 2>&1 || \
		{ grep -vE "warnings? (generated|treated)|$(TIDY_NOISE)" $(BUILD)/tidy.log; exit 1; }
	$(call say,CPPCHK,$(words $(LINT_SRC)) files)
	$(Q)cppcheck --quiet --enable=warning,performance,portability --std=c11 --inline-suppr \
		--error-exitcode=1 --suppressions-list=.cppcheck -j 2 -I. -D_GNU_SOURCE \
		-DPROCSNAP_VERSION='"x"' -DLIBEXECDIR='"x"' $(LINT_SRC) \
		$(addprefix --include=,$(filter %/queue.h,$(shell echo '#include <sys/queue.h>' | \
		$(CC) -E -M -x c -)))
	$(Q)$(MAKE) --no-print-directory man
	$(call say,MANDOC,$(words $(MAN)) pages)
	$(Q)for m in $(MAN); do \
		mandoc -T lint -W warning $$m | { ! grep -v 'skipping paragraph macro'; } || exit 1; done

lint-text:
	$(call say,TEXT,scripts and rules of the house)
	$(Q)shellcheck -x $(SHELL_SRC)
	$(Q)shellcheck -x -i SC2314,SC2315 tests/integration/*.bats # what lets no test fail
	$(Q)codespell -q 3 --skip='./build,./.git,./tests/fuzz/corpus,./LICENSE' -L crasher,statics,ue,tru,runn
	$(Q)tests/lint/rules

format: ## Format what has changed since HEAD (advice, not law)
	$(Q)git clang-format --style=file HEAD || true

compile_commands.json: Makefile ## Compilation database for clangd
	$(Q)printf '%s\n' $(LINT_SRC) $(UNIT_SRC) $(FUZZ_SRC) | awk -v dir="$(CURDIR)" \
		-v flags="$(subst ",\\\",$(subst \,\\,$(ALL_CFLAGS)))" 'BEGIN { print "[" } \
		{ printf "%s{\"directory\": \"%s\", \"file\": \"%s\", \"command\": \"cc %s -c %s\"}\n", \
		(NR > 1 ? "," : ""), dir, $$0, flags, $$0 } END { print "]" }' >$@

# file:folder it is installed in
INSTALLED := $(BUILD)/snapctl:$(BINDIR) $(BUILD)/procsnapd:$(LIBEXECDIR) \
	$(BUILD)/procsnap-worker:$(LIBEXECDIR) $(BUILD)/procsnap-analyze:$(LIBEXECDIR) \
	$(BUILD)/procsnap-unwind:$(LIBEXECDIR) $(BUILD)/procsnap-corehook:$(LIBEXECDIR)
INSTALLED_DATA := $(foreach m,$(MAN),$(m):$(MANDIR)/man$(subst .,,$(suffix $(m)))) \
	completions/_snapctl:$(ZSHCOMPDIR) completions/snapctl.fish:$(FISHCOMPDIR) \
	$(patsubst %,systemd/units/%.socket:$(UNITDIR),procsnapd procsnap-coredump) \
	$(patsubst %,$(BUILD)/gen/%.service:$(UNITDIR),procsnapd procsnap-coredump) \
	systemd/sysusers/procsnap.conf:$(SYSUSERSDIR) systemd/polkit/io.procsnap.policy:$(POLKITDIR) \
	systemd/tmpfiles/procsnap.conf:$(TMPFILESDIR) systemd/catalog/procsnap.catalog:$(CATALOGDIR)
file_of = $(firstword $(subst :, ,$(1)))
folder_of = $(lastword $(subst :, ,$(1)))

$(BUILD)/gen/%.service: systemd/units/%.service
	$(Q)mkdir -p $(@D)
	$(Q)sed 's|@LIBEXECDIR@|$(LIBEXECDIR)|g' $< >$@

SERVICES := $(patsubst systemd/units/%,$(BUILD)/gen/%,$(wildcard systemd/units/*.service))

install: all $(SERVICES) ## Install below DESTDIR and PREFIX (/usr/local)
	$(Q)$(foreach i,$(INSTALLED),$(INSTALL) -D -m 755 -t $(DESTDIR)$(call folder_of,$(i)) \
		$(call file_of,$(i)) &&) true
	$(Q)$(foreach i,$(INSTALLED_DATA),$(INSTALL) -D -m 644 -t $(DESTDIR)$(call folder_of,$(i)) \
		$(call file_of,$(i)) &&) true
	$(Q)$(INSTALL) -D -m 644 completions/snapctl.bash $(DESTDIR)$(BASHCOMPDIR)/snapctl

# A kernel that starts what is not there any more loses all crashes.
uninstall: ## Remove what install put there
	$(Q)[ -n "$(DESTDIR)" ] || ! grep -qsF '|$(LIBEXECDIR)/' /proc/sys/kernel/core_pattern || \
		$(BINDIR)/snapctl handler uninstall
	$(Q)rm -f $(DESTDIR)$(BASHCOMPDIR)/snapctl $(foreach i,$(INSTALLED) $(INSTALLED_DATA),\
		$(DESTDIR)$(call folder_of,$(i))/$(notdir $(call file_of,$(i))))
	$(Q)rmdir $(DESTDIR)$(LIBEXECDIR) 2>/dev/null || true

SHELL_SRC += $(wildcard tests/machine/*) tests/tools/sysroot tests/tools/gdbframes $(wildcard debian/*.prerm debian/*.postrm debian/*.postinst)

# dpkg-buildpackage writes beside the tree and into it, so it gets a tree of its own. Variables that
# were set for this make are not for that one.
NOT_IN_DEB := BUILD SANITIZE WERROR CC CFLAGS CPPFLAGS LDFLAGS PREFIX BINDIR LIBEXECDIR MANDIR \
	BASHCOMPDIR ZSHCOMPDIR FISHCOMPDIR UNITDIR SYSUSERSDIR TMPFILESDIR CATALOGDIR POLKITDIR DESTDIR
deb: ## Build a Debian package into build/deb/
	$(Q)command -v dpkg-buildpackage >/dev/null && command -v dh >/dev/null || { \
		echo 'what makes packages is missing: apt install debhelper' >&2; exit 1; }
	$(Q)there=$$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog); [ "$$there" = $(VERSION) ] || { \
		echo "debian/changelog says $$there, the Makefile $(VERSION)" >&2; exit 1; }
	$(Q)rm -rf $(BUILD)/deb
	$(Q)mkdir -p $(BUILD)/deb/procsnap
	$(Q)tar -c --exclude-vcs --exclude=./build --exclude=./$(BUILD) --exclude=*.o . | \
		tar -x -C $(BUILD)/deb/procsnap
	$(call say,DEB,$(BUILD)/deb)
	$(Q)cd $(BUILD)/deb/procsnap && unset MAKEFLAGS MAKELEVEL MFLAGS $(NOT_IN_DEB) && \
		DEB_BUILD_OPTIONS="nocheck $$DEB_BUILD_OPTIONS" DEB_BUILD_PROFILES=nocheck \
		dpkg-buildpackage -us -uc -b >../build.log 2>&1 || { tail -n 30 ../build.log >&2; exit 1; }
	$(Q)rm -rf $(BUILD)/deb/procsnap

clean: ## Remove build/
	$(Q)rm -rf $(BUILD) compile_commands.json

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
