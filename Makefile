# Everything a person does with a checkout. Start with `make run` or `make test`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: run test lint bench install peers bench-peers clean help

help:                     ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(STAMP)         ## make .venv with the suite and its development tools

$(STAMP): pyproject.toml
	@echo "Setting up $(VENV) (first time, or pyproject.toml changed) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(STAMP)             ## the main job on this machine alone; LISTEN=8080 SERVERS="www1:80 www2:80" for your own servers
	@$(BIN)/python etc/demo $(if $(LISTEN),--listen '$(LISTEN)') $(SERVERS)

test: $(STAMP) peers      ## all tests, the ones against real servers included
	@$(BIN)/python -m pytest

lint: $(STAMP)            ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@MYPYPATH=etc/demo $(BIN)/mypy etc/demo/*.py
	@$(BIN)/mypy -p bench

bench: $(STAMP) bench-peers ## ours beside Debian's pen, haproxy and nginx, for most of an hour; writes bench/*.md and .svg
	@$(BIN)/python bench/balancers.py
	@$(BIN)/python bench/latency.py
	@$(BIN)/python bench/scaling.py
	@$(BIN)/python bench/soak.py
	@$(BIN)/python bench/workers.py
	@$(BIN)/python bench/profile.py
	@$(BIN)/python bench/penlogds.py --write bench/penlogds.md
	@$(BIN)/python bench/profile_penlogd.py --write bench/profile-penlogd.md
	@$(BIN)/python bench/logs.py --write bench/logs.md

# The real servers and tools that tests and benchmarks run against.
peers:
	@sh .ci/peers apache2:/usr/sbin/apache2 nginx-light:/usr/sbin/nginx lighttpd:/usr/sbin/lighttpd \
	    caddy:/usr/bin/caddy pen:/usr/bin/pen \
	    curl:curl openssl:openssl mandoc:mandoc chromium:chromium logrotate:/usr/sbin/logrotate \
	    systemd:systemd-analyze slapd:/usr/sbin/slapd ldap-utils:ldapsearch \
	    bind9:/usr/sbin/named bind9-dnsutils:dig dnsperf:dnsperf \
	    iproute2:/usr/sbin/ip procps:/usr/sbin/sysctl gcc:gcc libc6-dev:/usr/include/stdio.h

bench-peers: peers
	@sh .ci/peers haproxy:haproxy wrk:wrk apache2-utils:ab strace:strace iptables:iptables libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so

clean:                    ## remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
