//! What stands at the end of each command's help: examples, mostly.

pub(super) const OVERVIEW: &str = "\
EXAMPLES:
  weavectl launch                          start the first host of a network
  weavectl launch 192.168.1.10             start a host that joins it
  weavectl attach c1                       attach the network namespace c1
  weavectl status connections              see which hosts are connected, and how

EXIT STATUS:
  0  done
  1  failed; one line on standard error says why
  2  wrong usage
  4  what was named does not exist";

pub(super) const LAUNCH: &str = "\
weaved is started by systemd where systemd runs and has a unit for it, else as a process of its own.
Flags that are not given are left to weaved.

EXAMPLES:
  weavectl launch                                   the first host
  weavectl launch 192.168.1.10 host3:7000           a host that joins
  WEAVE_PASSWORD=secret weavectl launch host1       encrypted: every host needs the same password
  weavectl launch --resume                          join the peers known from before
  weavectl launch --mtu 8916 --trusted-subnets 10.1.0.0/16,10.2.0.0/16 host1";

pub(super) const STOP: &str = "\
EXAMPLES:
  weavectl stop";

pub(super) const RESET: &str = "\
EXAMPLES:
  weavectl reset                 leave the network, then clean this host
  weavectl reset --force         the same, and clean this host even if weaved is not running";

pub(super) const CONNECT: &str = "\
EXAMPLES:
  weavectl connect 192.168.1.11 host3:7000
  weavectl connect --replace 192.168.1.12          and forget all others";

pub(super) const FORGET: &str = "\
EXAMPLES:
  weavectl forget 192.168.1.11";

pub(super) const STATUS: &str = "\
EXAMPLES:
  weavectl status
  weavectl status connections
  weavectl status peers --format json

Connections are established, held (the peer restarts), pending (no path works yet), retrying,
failed, or connecting.";

pub(super) const FLOWS: &str = "\
EXAMPLES:
  weavectl flows dump
  weavectl flows dump --format json

Tunnel peers are written as nickname(short id).";

pub(super) const ATTACH: &str = "\
The addresses that the container has got are printed. A container of Docker's also asks weaved for
names from then on, where it asked others: its /etc/resolv.conf is changed, until the last of its
addresses is detached. One that was created with --dns, or in a network of its own, asks as before.

EXAMPLES:
  weavectl attach c1                               any free address; c1 is a container of Docker's, or
                                                   a namespace of `ip netns`
  weavectl attach net:10.2.1.0/24 c1               any of this subnet
  weavectl attach net:default net:10.2.1.0/24 c1   one of each
  weavectl attach 10.32.1.1/24 c1                  this one
  weavectl attach 10.32.1.1/24 10.32.2.1/24 4711   the container of process 4711
  weavectl attach 10.32.1.1/24 /run/netns/c1
  weavectl attach --rewrite-hosts --add-host=db:10.32.0.7 c1";

pub(super) const EXPOSE: &str = "\
Containers of the same subnet reach this host, and it reaches them. With masquerading they also
reach the outside through it. From outside they are reached, by a route to this host, by whom
--expose-to names: underlay, docker (containers on Docker's bridges), networks. It holds for all
addresses of the host, and until the next --expose-to, or until all are hidden.

EXAMPLES:
  weavectl expose                              any free address
  weavectl expose net:10.2.1.0/24              in this subnet, too
  weavectl expose 10.2.1.132/24 -h exposed     this one, as exposed.weave.local
  weavectl expose --without-masquerade
  weavectl expose --expose-to 192.168.1.0/24   containers are reached from there
  weavectl expose --expose-to host             from nowhere but this host again";

pub(super) const HIDE: &str = "\
EXAMPLES:
  weavectl hide                        all addresses
  weavectl hide net:10.2.1.0/24        that of this subnet";

pub(super) const IPAM: &str = "\
EXAMPLES:
  weavectl ipam prime                  before the first container, where hosts start one after the other
  weavectl status ipam";

pub(super) const RMPEER: &str = "\
Hosts that `weavectl reset` give their addresses away by themselves, and those out of sight for as
long as the lease (--ipalloc-lease) lose them. This is for those that cannot, and are not waited for.

EXAMPLES:
  weavectl rmpeer host3
  weavectl rmpeer 7a:c0:00:12:34:56 host4
  weavectl rmpeer --ban host4            refused for good, also with the right password
  weavectl rmpeer --unban host4          accepted again";

pub(super) const DNS_ADD: &str = "\
EXAMPLES:
  weavectl dns-add c1 -h www                   all addresses of c1, as www.weave.local
  weavectl dns-add 10.2.1.27 c1                this one, by the name of c1
  weavectl dns-add 192.128.16.45 -h db         an address outside the network";

pub(super) const DNS_REMOVE: &str = "\
EXAMPLES:
  weavectl dns-remove c1 -h www
  weavectl dns-remove c1                       all names of c1
  weavectl dns-remove 192.128.16.45 -h db";

pub(super) const DNS_LOOKUP: &str = "\
EXAMPLES:
  weavectl dns-lookup c1
  weavectl dns-lookup c1.weave.local";

pub(super) const RUN: &str = "\
EXAMPLES:
  weavectl run -d --name a1 img top                any free address
  weavectl run 10.2.1.1/24 -itd img sh             this one
  weavectl run net:default net:10.2.1.0/24 img sh  one of each";

pub(super) const ENV: &str = "\
Containers that are started by the proxy are on the network before their process runs.

EXAMPLES:
  eval $(weavectl env)                 docker uses the proxy from here on
  docker run -d --name a1 img top
  docker run -e WEAVE_CIDR=10.2.1.1/24 img top
  docker run -e WEAVE_CIDR=none img top
  eval $(weavectl env --restore)       docker is as before";

pub(super) const CONFIG: &str = "\
EXAMPLES:
  docker $(weavectl config) run -d --name a1 img top";

pub(super) const DNS_ARGS: &str = "\
Containers that are started by the proxy need none of this.

EXAMPLES:
  docker run --net=weave $(weavectl dns-args) -it img sh";

pub(super) const DETACH: &str = "\
EXAMPLES:
  weavectl detach c1                     all addresses and the interface
  weavectl detach 10.32.2.1/24 4711      one address";

pub(super) const PS: &str = "\
EXAMPLES:
  weavectl ps
  weavectl ps c1 4711";

pub(super) const REPORT: &str = "\
EXAMPLES:
  weavectl report > report.json
  weavectl report --format text";

pub(super) const VERSION: &str = "\
EXAMPLES:
  weavectl version";

pub(super) const COMPLETION: &str = "\
EXAMPLES:
  weavectl completion bash > /etc/bash_completion.d/weavectl
  weavectl completion zsh > ~/.zfunc/_weavectl";

pub(super) const GENKEY: &str = "\
EXAMPLES:
  weavectl genkey > /etc/weave/password && chmod 600 /etc/weave/password
  weavectl launch --password-file /etc/weave/password host1";

pub(super) const PASSWORD: &str = "\
Do each step on every host before the next one, the hosts in any order. Connections that are up stay up.

EXAMPLES:
  weavectl genkey > new && chmod 600 new
  weavectl password add --file new     on every host: both are accepted
  weavectl password promote            on every host: connect with the new one
  weavectl password drop               on every host: accept the old one no longer";
