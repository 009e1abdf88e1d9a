#!/bin/sh
# One host of the lab: install, launch, and a container (a network namespace) to try it with.
set -eu
number=$1

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends iperf3 iputils-ping tcpdump openvswitch-switch \
    docker.io busybox-static
# Only the kernel module and ovs-dpctl are wanted, not ovs-vswitchd.
systemctl disable --now openvswitch-switch || true
modprobe openvswitch

cd /project/target/release
install -m 0755 weaved weavectl weave-docker /usr/bin/
install -m 0644 /project/packaging/weaved.service /project/packaging/weave-docker.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable weaved weave-docker

if [ "$number" -gt 1 ]; then
    weavectl launch --host "192.168.56.$((10 + number))" 192.168.56.11
else
    weavectl launch --host "192.168.56.$((10 + number))"
fi

container=c$number
ip netns add "$container" 2>/dev/null || true
ip -n "$container" link set lo up
weavectl attach "10.0.1.$number/24" "$container"
ip netns exec "$container" iperf3 -s -D

# An image to try Docker with: eval $(weavectl env); docker run -it --name a1 busybox sh
root=$(mktemp -d)
mkdir "$root/bin"
cp /bin/busybox "$root/bin/"
for name in $(/bin/busybox --list); do ln -sf busybox "$root/bin/$name"; done
tar -C "$root" -c . | docker import - busybox
rm -r "$root"

weavectl status
