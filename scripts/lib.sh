# shellcheck shell=sh
# What the scripts of this folder share; sourced, never run.
#
# A "state directory" holds everything that a service started by these scripts
# writes: data, logs, NAME.pid and `env` (KEY=value lines a test can source).
# A pid file holds "PID STARTTIME"; the start time (field 22 of /proc/PID/stat)
# makes sure that only the very process that was started is ever signalled.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}
[ ! -d "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" ] || PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
export PATH

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# state_dir NAME: where NAME keeps its state when -d is not given
state_dir() { printf '%s/mesos-rs-%s' "${TMPDIR:-/tmp}" "$1"; }

# own_dir DIR: creates DIR, or accepts one that these scripts made before
own_dir() {
    case $1 in /*) ;; *) die "the state directory must be an absolute path: $1" ;; esac
    if [ -d "$1" ] && [ ! -e "$1/.mesos-rs" ] && [ -n "$(ls -A "$1")" ]; then
        die "$1 is not empty and was not made by these scripts; name another folder or remove it"
    fi
    mkdir -p "$1" && : >"$1/.mesos-rs" || die "cannot write to $1"
}

# need COMMAND-OR-FILE PACKAGE ...: installs the Debian packages whose command
# (or, with a slash, whose file) is missing. Arguments are pairs.
need() {
    missing=''
    while [ $# -ge 2 ]; do
        case $1 in
            */*) [ -e "$1" ] || missing="$missing $2" ;;
            *) command -v "$1" >/dev/null 2>&1 || missing="$missing $2" ;;
        esac
        shift 2
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086  # a list of package names
    install_packages $missing
}

# install_packages PACKAGE...: waits for apt's lock for up to 15 minutes
install_packages() {
    [ "$(id -u)" = 0 ] || die "these packages are missing and installing them needs root: $*"
    command -v apt-get >/dev/null 2>&1 || die "these Debian packages are missing, and there is no apt-get: $*"
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    export DEBIAN_FRONTEND NEEDRESTART_SUSPEND
    say "installing: $*"
    set -- apt-get -qq -y -o DPkg::Lock::Timeout=900 --no-install-recommends install "$@"
    "$@" >/dev/null 2>&1 && return 0
    # Package lists that are old or missing; their lock has no timeout of its own.
    ip_tries=0
    until apt-get -qq -o DPkg::Lock::Timeout=900 update >/dev/null 2>&1; do
        ip_tries=$((ip_tries + 1))
        [ $ip_tries -lt 30 ] || break
        sleep 2
    done
    ip_out=$("$@" 2>&1) || { printf '%s\n' "$ip_out" | tail -20 >&2; die "apt-get failed; see above"; }
}

# process_start PID: the start time of a live process; nothing for a zombie
process_start() {
    [ -r "/proc/$1/stat" ] || return 1
    sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

# alive DIR NAME: does the process that start_service started still run?
alive() {
    [ -s "$1/$2.pid" ] || return 1
    read -r al_pid al_start <"$1/$2.pid" || return 1
    [ -n "$al_start" ] && [ "$(process_start "$al_pid")" = "$al_start" ]
}

# start_service DIR NAME COMMAND...: starts it in a session of its own, its
# output in DIR/NAME.log, its pid in DIR/NAME.pid
start_service() {
    ss_dir=$1 ss_name=$2
    shift 2
    # The new session's leader writes its own pid, then becomes the command.
    setsid sh -c 'echo "$$" >"$1"; shift; exec "$@"' sh "$ss_dir/$ss_name.new" "$@" \
        </dev/null >>"$ss_dir/$ss_name.log" 2>&1 &
    ss_i=0
    until [ -s "$ss_dir/$ss_name.new" ]; do
        ss_i=$((ss_i + 1))
        [ $ss_i -le 200 ] || die "$ss_name did not start"
        sleep 0.05
    done
    read -r ss_pid <"$ss_dir/$ss_name.new"
    printf '%s %s\n' "$ss_pid" "$(process_start "$ss_pid")" >"$ss_dir/$ss_name.pid"
    rm -f "$ss_dir/$ss_name.new"
}

# stop_service DIR NAME [SECONDS]: TERM, then KILL after SECONDS (15)
stop_service() {
    if alive "$1" "$2"; then
        read -r st_pid st_start <"$1/$2.pid"
        kill "$st_pid" 2>/dev/null
        st_i=$((${3:-15} * 20))
        while alive "$1" "$2"; do
            st_i=$((st_i - 1))
            [ $st_i -gt 0 ] || { kill -9 "$st_pid" 2>/dev/null; sleep 0.2; break; }
            sleep 0.05
        done
    fi
    rm -f "$1/$2.pid"
}

# until_ok SECONDS COMMAND...: repeats the command until it succeeds
until_ok() {
    uo=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        uo=$((uo - 1))
        [ $uo -gt 0 ] || return 1
        sleep 0.1
    done
}

# port_busy PORT [ADDRESS]: does something listen on it, at that IPv4 address or at any?
port_busy() {
    # shellcheck disable=SC2046  # four numbers
    pb_address=$([ -z "${2:-}" ] || printf '%02X%02X%02X%02X' $(echo "$2" | awk -F. '{ print $4, $3, $2, $1 }'))
    awk -v p="$(printf '%04X' "$1")" -v at="$pb_address" '$4 == "0A" {
            n = split($2, a, ":")
            if (a[n] == p && (at == "" || a[1] == at || a[1] ~ /^0+$/)) f = 1
        }
        END { exit !f }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# free_ports N: the first of N ports in a row that nothing listens on, below the
# kernel's ephemeral range; two callers at once begin at different places
free_ports() {
    fs_first=$((20000 + ($$ * 37) % 10000))
    fs_tries=0 fs_free=0
    while [ $fs_tries -lt 1000 ]; do
        if port_busy $((fs_first + fs_free)); then
            fs_first=$((fs_first + fs_free + 1)) fs_free=0
        else
            fs_free=$((fs_free + 1))
            [ $fs_free -lt "$1" ] || { echo "$fs_first"; return 0; }
        fi
        fs_tries=$((fs_tries + 1))
    done
    die "no $1 free ports in a row near $fs_first"
}

# free_port: one of them
free_port() { free_ports 1; }

# engine_answers SOCKET: does a Docker engine answer there?
engine_answers() { curl -fsS --max-time 5 --unix-socket "$1" http://localhost/_ping >/dev/null 2>&1; }

# engine_socket: the socket of the engine to use, from DOCKER_HOST or Docker's default
engine_socket() {
    case ${DOCKER_HOST:-} in
        unix://*) printf '%s\n' "${DOCKER_HOST#unix://}" ;;
        *) echo /var/run/docker.sock ;;
    esac
}
