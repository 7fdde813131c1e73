# `make demo` and `make test` are all there is to know: each does its own set-up.

# For where rustup puts cargo, and Debian the tools of the administrator.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
CARGO ?= cargo

# Tests mostly wait for the kernel, one lock of which they share: more threads than these don't help.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc); echo $$((n < 8 ? n : 8)))

.PHONY: help setup build demo test lint bench

help:
	@echo "make demo    see containers talk, a published port answer, and two networks kept apart"
	@echo "make test    prove everything"
	@echo "make lint    formatting, clippy and the documentation, without a warning"
	@echo "make bench   what attaching costs"
	@echo "make setup   only install what these need (they do it themselves)"

setup:
	@tests/setup.sh

build: setup
	$(CARGO) build --package trestle --bins --features failpoints

demo: build
	@TRESTLE_PROGRAMS_ARE_BUILT=1 $(CARGO) run --quiet --package trestle-tests --bin demo

test: build
	TRESTLE_PROGRAMS_ARE_BUILT=1 $(CARGO) test --workspace

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

bench:
	@tests/setup.sh bench
	$(CARGO) bench --workspace
