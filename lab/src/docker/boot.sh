#!/bin/sh
# Makes a host one that has Docker to itself: processes, cgroups, mounts and /run of its own.
#
# usage: boot.sh DIRECTORY CGROUP. Runs in a mount namespace of its own already. All that Docker
# makes is in memory that goes with the last process here, and the first process takes all others
# along.
set -eu
directory=$1

if [ "$2" != inside ]; then
    # A cgroup to be the root of those that Docker makes.
    mkdir "$directory/cgroup"
    mount -t cgroup2 cgroup2 "$directory/cgroup"
    mkdir "$directory/cgroup/$2"
    echo $$ >"$directory/cgroup/$2/cgroup.procs"
    exec unshare --cgroup --pid --fork --kill-child -- sh "$0" "$directory" inside
fi

umount "$directory/cgroup"
mount -t proc proc /proc
# Docker looks for interfaces by the files here.
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Only a cgroup without processes passes controllers on.
mkdir /sys/fs/cgroup/programs
echo 1 >/sys/fs/cgroup/programs/cgroup.procs
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
done

new=$directory/run
mkdir "$new"
mount -t tmpfs -o mode=755 memory "$new"
for kept in netns weave-lab openvswitch; do
    [ -d "/run/$kept" ] || continue
    mkdir "$new/$kept"
    mount --rbind "/run/$kept" "$new/$kept"
done
mkdir -p "$new/lock" "$new/weave" "$new/tmp" "$new/bin"
mount --rbind "$new" /run

# Where the kernel lacks what the usual iptables needs for NAT, the older one does it.
if ! { iptables -t nat -N probe && iptables -t nat -X probe; } 2>/dev/null; then
    modprobe -a br_netfilter overlay iptable_nat iptable_filter ip6table_filter \
        xt_addrtype xt_MASQUERADE xt_conntrack || true
    for program in iptables ip6tables; do
        ln -s "$(command -v $program-legacy)" "/run/bin/$program"
    done
fi

: >"$directory/booted"
# Takes the ends of processes that nobody else waits for.
while :; do
    sleep infinity &
    wait
done
