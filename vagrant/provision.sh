#!/bin/sh
# One host of the lab: install, launch, and a container (a network namespace) to try it with.
set -eu
number=$1

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends iperf3 iputils-ping tcpdump openvswitch-switch
# Only the kernel module and ovs-dpctl are wanted, not ovs-vswitchd.
systemctl disable --now openvswitch-switch || true
modprobe openvswitch

install -m 0755 /project/target/release/weaved /project/target/release/weavectl /usr/bin/
install -m 0644 /project/packaging/weaved.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable weaved

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
weavectl status
