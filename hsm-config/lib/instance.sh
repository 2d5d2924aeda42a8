# One private Claviger instance under a directory: a SoftHSM token, its configuration, its daemon. Shared by quickstart and sandbox.
# Sourced after common.sh, never run. Layout of the directory (0700):
#   claviger.toml  softhsm2.conf  pin  tokens/  state/  claviger.sock  clavigerd.pid  clavigerd.log

# A socket's path with its terminating zero must fit sockaddr_un.sun_path, 108 bytes.
socket_path_limit=107

# How long a start or a stop may take before it is called a failure, in seconds. Both take well under one.
instance_patience=30

# Prints SoftHSM's module. Debian has it under /usr/lib/softhsm, others beside the architecture's libraries.
softhsm_module() {
    local candidate
    for candidate in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so \
        /usr/lib64/pkcs11/libsofthsm2.so; do
        if [ -e "$candidate" ]; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    fail "no libsofthsm2.so: install the package libsofthsm2"
}

# instance_check_directory DIR: refuses what cannot stand in the two configuration files or in a socket address.
instance_check_directory() {
    local socket=$1/claviger.sock bytes
    bytes=$(printf '%s' "$socket" | wc -c)
    [ "$bytes" -le "$socket_path_limit" ] ||
        fail "the socket's path $socket has $bytes bytes, a Unix socket's can have $socket_path_limit: choose a shorter directory"
    case $1 in
    *[\"\\#=[:cntrl:]]*) fail "$1: a directory with a quote, backslash, '#', '=' or control character cannot be configured" ;;
    esac
}

# instance_make DIR: the directory, SoftHSM's configuration and the daemon's; what is there already is left as it is.
instance_make() {
    local dir=$1 module
    module=$(softhsm_module)
    (
        umask 077
        mkdir -p "$dir/tokens" "$dir/state"
        chmod 0700 "$dir"
        [ -e "$dir/softhsm2.conf" ] ||
            awk -v tokens="$dir/tokens" '{ at = index($0, "@TOKENS@")
                if (at && $0 !~ /^#/) $0 = substr($0, 1, at - 1) tokens substr($0, at + 8); print }' \
                "$claviger_root/hsm-config/softhsm2.conf.in" >"$dir/softhsm2.conf"
        [ -e "$dir/claviger.toml" ] || cat >"$dir/claviger.toml" <<END
# A private instance made by $claviger_command. Every setting is explained in the project's hsm-config/claviger.toml.
state-directory = "$dir/state"

[module]
path = "$module"
environment.SOFTHSM2_CONF = "$dir/softhsm2.conf"
storage-path = "$dir/tokens"
storage-format = "attribute-files"
software-token = true

[token]
uri = "pkcs11:token=claviger"
pin-file = "$dir/pin"

[socket]
path = "$dir/claviger.sock"
END
    )
}

# process_start PID: when the process started, in clock ticks since boot (field 22 of proc_pid_stat(5)); fails when it is gone or a
# zombie. The command name before it may contain anything, so fields are counted behind its closing parenthesis. (cat and not $(<...):
# bash 5.2 ends the shell when the latter finds no file under `set -e`, even in a condition.)
process_start() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] || return 1
    printf '%s\n' "${fields[19]}"
}

# instance_pid DIR: prints the process id of the daemon that instance_start started, if it runs. The pid file holds the boot, the
# process id and its start time, so that a stranger that was given the number later is never taken for it. (The daemon is not
# dumpable, so its /proc/PID/exe is unreadable to its own user; its command line is not.)
instance_pid() {
    local boot pid start command
    read -r boot pid start 2>/dev/null <"$1/clavigerd.pid" || return 1
    [ "$boot" = "$(</proc/sys/kernel/random/boot_id)" ] || return 1
    [ "$(process_start "$pid")" = "$start" ] || return 1
    command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    case $command in *"clavigerd --config $1/claviger.toml "*) printf '%s\n' "$pid" ;; *) return 1 ;; esac
}

# instance_start DIR BIN [WRAPPER...]: starts the daemon in a session of its own, so that a terminal's interrupt reaches only its
# user, and waits until it can work with the token. Fails with the end of its log when it ends, or cannot within the patience.
instance_start() {
    local dir=$1 bin=$2 pid start deadline said=''
    shift 2
    setsid "$@" "$bin/clavigerd" --config "$dir/claviger.toml" </dev/null >>"$dir/clavigerd.log" 2>&1 3>&- &
    pid=$!
    start=$(process_start "$pid") || start=gone
    printf '%s %s %s\n' "$(</proc/sys/kernel/random/boot_id)" "$pid" "$start" >"$dir/clavigerd.pid"
    deadline=$((SECONDS + instance_patience))
    until [ -S "$dir/claviger.sock" ] && said=$("$bin/claviger" status --json --socket "$dir/claviger.sock" 2>&1) &&
        grep -Eq '"state" *: *"ready"' <<<"$said"; do
        if ! process_start "$pid" >/dev/null; then
            wait "$pid" 2>/dev/null || true
            tail -n 20 "$dir/clavigerd.log" >&2
            rm -f "$dir/clavigerd.pid"
            fail "the daemon ended while starting; its log is above"
        fi
        if [ $SECONDS -ge $deadline ]; then
            tail -n 20 "$dir/clavigerd.log" >&2
            fail "the daemon (process $pid) is not ready after $instance_patience s; its log is above; its status: ${said:-no answer}"
        fi
        sleep 0.02
    done
}

# instance_stop DIR: ends the daemon that instance_start started, by its id, and waits until it is gone. Succeeds when none runs.
instance_stop() {
    local dir=$1 pid deadline
    if pid=$(instance_pid "$dir"); then
        kill -TERM "$pid" 2>/dev/null || true
        deadline=$((SECONDS + instance_patience))
        while instance_pid "$dir" >/dev/null; do
            if [ $SECONDS -ge $deadline ]; then
                note "process $pid did not end within $instance_patience s of SIGTERM: killing it"
                kill -KILL "$pid" 2>/dev/null || true
                deadline=$((SECONDS + instance_patience))
            fi
            sleep 0.02
        done
    fi
    rm -f "$dir/clavigerd.pid"
}
