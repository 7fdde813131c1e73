#!/bin/sh
# Gets a machine ready to build Trestle and to run its tests and demo. Does nothing where all is there.
# On Debian and its kin it installs what is missing; elsewhere it says what to install.
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root, and there is no sudo: $*"
        exit 1
    fi
}

# Tools: the program, Debian's package, and what it is for.
missing=
need() {
    command -v "$1" >/dev/null && return
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null && return
    say "$1 is missing ($3)"
    missing="$missing $2"
}
need cc gcc "links programs, and builds the C parts of the TLS library"
need ip iproute2 "tests lay wires between their hosts with it"
need nft nftables "tests look at the firewall with it"
need iptables-restore iptables "tests try the firewall's other back end with it"
need python3 python3 "a plugin that tests talk to is written in it"
need conntrack conntrack "tests look at the connection tracker with it"
need ping iputils-ping "tests ask with it whether somebody is there"
need busybox busybox-static "tests look up names as it does, and run containers of it: it needs no library"
need musl-gcc musl-tools "tests look up names as programs that are built against musl do"
need docker docker.io "tests ask the container engine by its command line"
need runc runc "containers are made with it"
need conmon conmon "each container's streams and exit code are held by one"
if [ "${1:-}" = bench ]; then
    need dnsperf dnsperf "measures how fast names are told"
fi
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        say "install what Debian calls:$missing"
        exit 1
    fi
    say "installing$missing"
    as_root apt-get update -q
    # shellcheck disable=SC2086  # a list of packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing libc6-dev
fi

# Rust: the version that Cargo.toml asks for. Debian's own is older until Debian packages rustup, which gets the rest.
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
rust_is_there() {
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2 || true)
    [ "$(printf '%s\n%s\n' "$wanted" "${found:-0}" | sort -V | head -n 1)" = "$wanted" ]
}
if ! rust_is_there; then
    say "cargo ${found:-is missing; version} $wanted or newer is needed"
    if ! command -v rustup >/dev/null && apt-cache show rustup >/dev/null 2>&1; then
        say "installing rustup"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends rustup
    fi
    if command -v rustup >/dev/null; then
        say "installing Rust with rustup, for this user"
        rustup toolchain install stable --profile minimal --component clippy --component rustfmt
        rustup default stable
    else
        if ! command -v curl >/dev/null; then
            say "installing curl (rustup, which installs Rust, is fetched with it)"
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends curl ca-certificates
        fi
        say "installing Rust with rustup (https://rustup.rs), for this user"
        fetched=$(mktemp)
        if ! curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs -o "$fetched" ||
            ! sh "$fetched" -y --no-modify-path --profile minimal --component clippy --component rustfmt; then
            rm -f "$fetched"
            say "Rust could not be installed; do it by hand (https://rustup.rs), and come again"
            exit 1
        fi
        rm -f "$fetched"
    fi
    rust_is_there || { say "cargo ${found:-is still missing; version} $wanted or newer is needed"; exit 1; }
fi

# Networks whose containers may not talk to each other need br_netfilter, which is never loaded by itself. The
# machine's own bridges go on as before: what the module would switch on for them is switched off at once.
if [ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
    say "loading the kernel module br_netfilter, without effect on the machine's own bridges"
    as_root modprobe br_netfilter
    for family in iptables ip6tables; do
        echo 0 | as_root tee "/proc/sys/net/bridge/bridge-nf-call-$family" >/dev/null
    done
fi
