# What check, quickstart, sandbox and install share: speaking, Debian packages, the Swift toolchain, the build.
# Sourced by them, never run; the caller has `set -euo pipefail`.

claviger_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
claviger_command=$(basename "$0")

# Two compiler jobs at a time: the release build of one module takes about 1 GiB, and small machines run this too.
claviger_jobs=2

# What building needs beyond the Swift toolchain (g++ for libstdc++'s headers and the linker, which Swift's own list leaves to the
# reader), and what running needs. SoftHSM is the token of trials and tests.
packages_build=(g++ git ca-certificates pkg-config libssl-dev libp11-kit-dev libsqlite3-dev libtomlplusplus-dev libsofthsm2-dev)
packages_run=(libsofthsm2 libp11-kit0 libsqlite3-0 openssl)
# What only the checks need: systemd-analyze reads the units; softhsm2-util makes tokens for tests; python3 runs
# the client that was written from the protocol page; libnss3 is a second kind of token. systemd-container boots the units, and
# opencryptoki is a third kind, whose slot daemon runs in namespaces: only root can do either.
packages_check=(systemd softhsm2 python3 libnss3 util-linux)
packages_boot=(systemd-container opencryptoki)

say() { printf '%s\n' "$*"; }
note() { printf '%s: %s\n' "$claviger_command" "$*" >&2; }
fail() {
    note "$*"
    exit 1
}

# Runs a command as root: directly, or by sudo, which must not ask for a password (nobody may be there to type it).
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Prints those of the named packages that are not installed.
missing_packages() {
    local name
    for name in "$@"; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true) in
        installed) ;;
        *) printf '%s\n' "$name" ;;
        esac
    done
}

# Installs those of the named packages that are missing; says what it installs; fails with what to type when it cannot.
need_packages() {
    local missing attempt
    command -v dpkg-query >/dev/null 2>&1 ||
        fail "this is not a Debian system: install the equivalents of these packages by hand: $*"
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    # A mirror may be busy and another apt may hold the lock: three attempts, waiting for the lock for a minute each time.
    for attempt in 1 2 3; do
        if as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=60 update </dev/null >&2 &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 \
                install --no-install-recommends "${missing[@]}" </dev/null >&2; then
            return 0
        fi
        [ "$attempt" = 3 ] || sleep $((attempt * 5))
    done
    fail "cannot install packages; as root run: apt-get install --no-install-recommends ${missing[*]}"
}

# Checks that the Swift toolchain is there and new enough; prints its version.
need_swift() {
    local version required
    command -v swift >/dev/null 2>&1 || {
        # A non-login shell often lacks the toolchain's directory.
        if [ -x /opt/swift/usr/bin/swift ]; then PATH=$PATH:/opt/swift/usr/bin; fi
    }
    command -v swift >/dev/null 2>&1 ||
        fail "no Swift toolchain on PATH: install it as https://www.swift.org/install/linux/ says, then run this again"
    required=$(sed -n '1s/.*swift-tools-version: *\([0-9.]*\).*/\1/p' "$claviger_root/Package.swift")
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || fail "'swift --version' gives no version: is the toolchain complete?"
    [ "$(printf '%s\n%s\n' "$required" "$version" | sort -V | head -n 1)" = "$required" ] ||
        fail "Swift $version is too old: this package needs $required or newer"
    say "Swift $version at $(command -v swift)"
}

# The release build of the two programs: the Swift runtime linked in, so that each is one file to install.
build_release() {
    local product
    for product in clavigerd claviger claviger-fault; do
        (cd "$claviger_root" && swift build -c release --static-swift-stdlib -j "$claviger_jobs" --product "$product") || return 1
    done
}

# Prints the directory of the release build's programs.
release_directory() {
    (cd "$claviger_root" && swift build -c release --static-swift-stdlib --show-bin-path)
}

# Sets claviger_bin to the directory that holds clavigerd and claviger: CLAVIGER_BIN when the caller set it, else a fresh
# release build, whose output is shown only when it fails.
need_programs() {
    local log
    if [ -n "${CLAVIGER_BIN:-}" ]; then
        claviger_bin=$(cd "$CLAVIGER_BIN" 2>/dev/null && pwd) || fail "CLAVIGER_BIN: no directory $CLAVIGER_BIN"
        need_packages "${packages_run[@]}" >&2
    else
        need_packages "${packages_build[@]}" "${packages_run[@]}" >&2
        need_swift >&2
        log=$(mktemp "${TMPDIR:-/tmp}/claviger-build.XXXXXX")
        if ! build_release >"$log" 2>&1; then
            cat "$log" >&2
            rm -f "$log"
            fail "the release build failed"
        fi
        rm -f "$log"
        claviger_bin=$(release_directory)
    fi
    local program
    for program in clavigerd claviger; do
        [ -x "$claviger_bin/$program" ] || fail "no program $claviger_bin/$program"
    done
    [ -r "$claviger_bin/libclaviger-fault.so" ] || fail "no module $claviger_bin/libclaviger-fault.so"
}
