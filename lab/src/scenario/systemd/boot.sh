#!/bin/sh
# Boots systemd as the first process of namespaces of its own, with our units installed.
#
# usage: boot.sh DIRECTORY outside CGROUP, where there are the programs in bin, the units in units, and the disk:
# what a boot leaves for the next one. Runs in a mount namespace of its own already. Of the machine's files,
# systemd sees /usr and what is named here; wherever else it or weaved writes, it has memory that goes with it.
set -eu
directory=$1

if [ "${2-}" != inside ]; then
    # A cgroup to be the root of those that systemd makes.
    mkdir -p "$directory/cgroup"
    mount -t cgroup2 cgroup2 "$directory/cgroup"
    mkdir "$directory/cgroup/$3"
    echo $$ >"$directory/cgroup/$3/cgroup.procs"
    exec unshare --cgroup --pid --fork --kill-child -- sh "$0" "$directory" inside
fi

umount "$directory/cgroup"
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup

new=$directory/new
mkdir -p "$new" "$directory/disk"
mount -t tmpfs -o mode=755 memory "$new"
cd "$new"
mkdir -p bin empty run/bin run/netns

# Where the unit expects weaved: among the machine's own programs, which are links here.
mount --bind /usr/bin run/bin
find /usr/bin -mindepth 1 -maxdepth 1 -printf '/run/bin/%f\n' | xargs ln -s -t bin --
cp "$directory"/bin/* bin

disk=$directory/disk
if [ ! -d "$disk/etc" ]; then
    mkdir -p "$disk/etc/systemd/system" "$disk/var/lib" "$disk/var/log"
    for kept in alternatives group ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf passwd; do
        [ ! -e "/etc/$kept" ] || cp -a "/etc/$kept" "$disk/etc"
    done
    # A machine without an id is taken for one that boots for the first time.
    tr -d - </proc/sys/kernel/random/uuid >"$disk/etc/machine-id"
    cp "$directory"/units/* "$disk/etc/systemd/system"
fi

# Of the machine's units only those are started that are asked for.
for asked in /lib/systemd/system/*.wants /lib/systemd/system/*.requires /lib/systemd/system-generators; do
    [ ! -d "$asked" ] || mount --bind empty "$asked"
done
mount --rbind /run/netns run/netns
for place in etc var/lib var/log; do
    mount --bind "$disk/$place" "/$place"
done
mount --rbind run /run
mount --bind bin /usr/bin
cd /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab \
    /lib/systemd/systemd --system --unit=lab.target --show-status=0 --log-target=null
