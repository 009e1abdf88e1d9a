#!/bin/sh
# Boots systemd as the first process of namespaces of its own, with the unit of weaved installed.
#
# usage: boot.sh DIRECTORY, where there are weaved, weavectl, weaved.service and lab.target. Runs in a
# mount namespace of its own already. Of the machine's files, systemd sees /usr and what is named
# here; wherever it or weaved writes, it has memory that goes with it.
set -eu
directory=$1

if [ "${2-}" != inside ]; then
    # A cgroup to be the root of those that systemd makes.
    mkdir "$directory/cgroup"
    mount -t cgroup2 cgroup2 "$directory/cgroup"
    mkdir "$directory/cgroup/$3"
    echo $$ >"$directory/cgroup/$3/cgroup.procs"
    exec unshare --cgroup --pid --fork --kill-child -- sh "$0" "$directory" inside
fi

umount "$directory/cgroup"
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup

new=$directory/new
mkdir "$new"
mount -t tmpfs -o mode=755 memory "$new"
cd "$new"
mkdir -p bin empty etc/systemd/system run/bin run/netns var/lib var/log

# Where the unit expects weaved: among the machine's own programs, which are links here.
mount --bind /usr/bin run/bin
find /usr/bin -mindepth 1 -maxdepth 1 -printf '/run/bin/%f\n' | xargs ln -s -t bin --
cp "$directory/weaved" "$directory/weavectl" bin

for kept in alternatives group ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf passwd; do
    [ ! -e "/etc/$kept" ] || cp -a "/etc/$kept" etc
done
# A machine without an id is taken for one that boots for the first time.
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
cp "$directory/weaved.service" "$directory/lab.target" etc/systemd/system

# Of the machine's units only those are started that are asked for.
for asked in /lib/systemd/system/*.wants /lib/systemd/system/*.requires /lib/systemd/system-generators; do
    [ ! -d "$asked" ] || mount --bind empty "$asked"
done
mount --rbind /run/netns run/netns
for place in etc var/lib var/log run; do
    mount --rbind "$place" "/$place"
done
mount --bind bin /usr/bin
cd /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab \
    /lib/systemd/systemd --system --unit=lab.target --show-status=0 --log-target=null
