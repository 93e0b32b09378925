# make demo   three directors, three web servers, a killed master: in a minute
# make test   everything: quick tests, then the lab on this kernel and on IPVS
# Both install what they need (Debian 12, root) and can be run as often as you like.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto
# The program under test of the lab and the demo; keepalived itself will do.
STEADFAST = target/debug/steadfast

.NOTPARALLEL:
.PHONY: all build release demo test quick lab lint deps nextest bench install clean

all: build

build:
	$(CARGO) build --locked

release:
	$(CARGO) build --locked --release

deps:
	tests/lab/deps

nextest:
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest

demo: deps build
	demo/run $(STEADFAST)

# fmt and clippy first: they fail fast. The lab comes last, so that its closing lines stay in sight.
test: deps nextest lint quick lab
	@echo "make test: all passed"

lint:
	@echo "== format and lints"
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

quick: nextest
	@echo "== quick tests"
	$(CARGO) nextest run --locked
	$(CARGO) test --locked --doc --quiet
	@echo "== the example configuration"
	$(MAKE) --no-print-directory example

# The example runs as it is once its interface and addresses are there: checked where they are.
.PHONY: example
example: build
	unshare -n sh -ec 'ip link add eth0 type veth peer name far; ip link set eth0 up; \
	    exec $(STEADFAST) --config-test --use-file keepalived.conf.example'

lab: deps nextest build
	@echo "== the lab: hosts as namespaces on this kernel, then IPVS in user-mode Linux"
	STEADFAST_LAB=1 $(CARGO) nextest run --locked --profile lab

# Beside the real keepalived; see benches/README.md.
bench: deps release
	benches/config --daemon keepalived --daemon target/release/steadfast
	benches/failover --daemon keepalived --daemon target/release/steadfast
	benches/scale --daemon keepalived --daemon target/release/steadfast
	benches/idle --daemon keepalived --daemon target/release/steadfast

prefix ?= /usr
install: release
	install -D -m 755 target/release/steadfast $(DESTDIR)$(prefix)/sbin/steadfast
	install -d $(DESTDIR)$(prefix)/share/man/man5 $(DESTDIR)$(prefix)/share/man/man8 \
		$(DESTDIR)$(prefix)/share/bash-completion/completions $(DESTDIR)$(prefix)/share/vim/vimfiles/syntax
	target/release/steadfast config man5 >$(DESTDIR)$(prefix)/share/man/man5/steadfast.conf.5
	target/release/steadfast config man8 >$(DESTDIR)$(prefix)/share/man/man8/steadfast.8
	target/release/steadfast config completion >$(DESTDIR)$(prefix)/share/bash-completion/completions/steadfast
	target/release/steadfast config syntax >$(DESTDIR)$(prefix)/share/vim/vimfiles/syntax/keepalived.vim
	install -D -m 644 packaging/steadfast.service $(DESTDIR)/lib/systemd/system/steadfast.service
	install -D -m 644 keepalived.conf.example $(DESTDIR)$(prefix)/share/doc/steadfast/keepalived.conf.example

clean:
	$(CARGO) clean
	rm -rf lab-artefacts
