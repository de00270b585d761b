#!/usr/bin/env bash
# Starts a Slurm of two nodes on this machine, runs a command with SLURM_CONF set, and stops it again.
# Needs root, slurm-wlm and munge; no systemd.  Usage: tests/slurm/cluster.sh COMMAND...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for program in slurmctld slurmd sbatch munged munge; do
    if ! command -v "$program" >/dev/null && ! [ -x "/usr/sbin/$program" ]; then
        echo "error: $program is missing" >&2
        echo "  hint: apt-get install slurm-wlm munge" >&2
        exit 1
    fi
done
if [ "$(id -u)" != 0 ]; then
    echo "error: Slurm's daemons are started as root here" >&2
    exit 1
fi
PATH="$PATH:/usr/sbin"
folder=$(mktemp -d)
own_munge=
host=$(hostname -s)

stop() {
    for file in "$folder"/slurmd-*.pid "$folder"/slurmctld.pid; do
        [ -f "$file" ] || continue
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    done
    [ -z "$own_munge" ] || kill "$(cat /run/munge/munged.pid)" 2>/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT

# Slurm finds its nodes by the name of this machine
getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
if ! munge -n >/dev/null 2>&1; then
    [ -f /etc/munge/munge.key ] || mungekey --create 2>/dev/null || /usr/sbin/create-munge-key -f
    mkdir -p /run/munge /var/log/munge /var/lib/munge
    chown munge: /run/munge /var/log/munge /var/lib/munge /etc/munge /etc/munge/munge.key
    chmod 0755 /run/munge
    su -s /bin/sh munge -c /usr/sbin/munged
    own_munge=1
fi
mkdir "$folder/state"
sed "s#@DIR@#$folder#g; s#@HOST@#$host#g" "$here/slurm.conf.in" >"$folder/slurm.conf"
export SLURM_CONF="$folder/slurm.conf"
slurmctld -f "$SLURM_CONF"
slurmd -N n1 -f "$SLURM_CONF"
slurmd -N n2 -f "$SLURM_CONF"
for _ in $(seq 100); do
    [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null)" != 2 ] || break
    sleep 0.2
done
if [ "$(sinfo --noheader --states=idle --format=%D)" != 2 ]; then
    echo "error: the nodes of the test Slurm do not come up" >&2
    tail -n 20 "$folder"/*.log >&2
    exit 1
fi
"$@"
