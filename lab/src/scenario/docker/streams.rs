//! Docker's API through weave-docker, with every version of `docker` that is here: streams in both
//! directions, and bodies of all sizes.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::{PATIENCE, one_host};
use crate::docker::{Client, IMAGE, clients};
use crate::topology::Lab;
use crate::wait::{Look, wait_for};

/// Ten megabytes of noise, there and back
const NOISE: &str = "head -c 10000000 /dev/urandom >/run/tmp/noise
$docker run --rm -i busybox cat </run/tmp/noise | cmp - /run/tmp/noise
$docker run --rm -i busybox sha256sum </run/tmp/noise | cut -d' ' -f1 >/run/tmp/there
sha256sum </run/tmp/noise | cut -d' ' -f1 | cmp - /run/tmp/there
$docker exec -i s1 cat </run/tmp/noise | cmp - /run/tmp/noise";

/// Files and trees in and out
const COPY: &str = "head -c 3000000 /dev/urandom >/run/tmp/in
$docker cp /run/tmp/in s1:/in
$docker cp s1:/in /run/tmp/out
cmp /run/tmp/in /run/tmp/out
$docker exec s1 cat /in | cmp - /run/tmp/in
$docker cp s1:/bin - | tar -t >/run/tmp/listed
grep -q bin/busybox /run/tmp/listed";

/// What a container gets on its standard input, and what it answers on both outputs
///
/// It ends after that has come: of a container that ends, `docker attach` may miss the last words.
const ATTACH: &str = "$docker run -d -i --name s2 busybox sh -c \
    'while read line && [ $line != quit ]; do echo \"got $line\"; echo \"heard $line\" >&2; done' >/dev/null
: >/run/tmp/attached; : >/run/tmp/attached-errors
{
    printf 'one\\ntwo\\n'
    for file in attached attached-errors; do
        until [ $(wc -l </run/tmp/$file) = 2 ]; do sleep 0.02; done
    done
    echo quit
    $docker wait s2 >/run/tmp/code
} | $docker attach s2 >/run/tmp/attached 2>/run/tmp/attached-errors
test \"$(cat /run/tmp/attached)\" = \"$(printf 'got one\\ngot two')\"
test \"$(cat /run/tmp/attached-errors)\" = \"$(printf 'heard one\\nheard two')\"
test \"$(cat /run/tmp/code)\" = 0
test \"$($docker logs s2 2>/dev/null)\" = \"$(printf 'got one\\ngot two')\"
$docker rm s2 >/dev/null";

/// The end of what a client writes is the end of what the container reads, and it may answer after that
const HALF_CLOSE: &str = "$docker create -i --name s2 busybox sh -c 'wc -c; echo after' >/dev/null
printf '12345' | $docker start -a -i s2 >/run/tmp/answered
test \"$(cat /run/tmp/answered)\" = \"$(printf '5\\nafter')\"
$docker rm s2 >/dev/null
test \"$(printf 'a line' | $docker exec -i s1 sh -c 'cat; echo; echo after')\" = \"$(printf 'a line\\nafter')\"";

/// Exit codes, and the two outputs apart
const CODES: &str = "code=0; $docker exec s1 sh -c 'echo out; echo err >&2; exit 7' \
    >/run/tmp/out 2>/run/tmp/err || code=$?
test $code = 7
test \"$(cat /run/tmp/out)\" = out
test \"$(cat /run/tmp/err)\" = err
code=0; $docker run --rm busybox sh -c 'exit 5' || code=$?
test $code = 5";

/// An image, out and in again, and built from nothing but it
const IMAGES: &str = "$docker save busybox >/run/tmp/saved.tar
$docker load </run/tmp/saved.tar >/dev/null
$docker export s1 | tar -t | grep -q bin/busybox";

const SCRIPTS: [(&str, &str); 6] = [
    ("noise", NOISE),
    ("cp", COPY),
    ("attach", ATTACH),
    ("half-close", HALF_CLOSE),
    ("codes", CODES),
    ("images", IMAGES),
];

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let docker = one_host(lab)?;
    many_images(&docker.direct())?;
    // What Docker itself does not do is asked of nobody.
    docker.direct().sleeper("s1", &[])?;
    for (what, script) in SCRIPTS {
        let done = docker.direct().script(script)?.ok();
        done.with_context(|| format!("{what}, at Docker itself"))?;
    }
    docker.direct().remove(&["s1"])?;
    for program in clients() {
        let client = docker.proxied().version(&program);
        let direct = docker.direct().version(&program);
        all(&client, &direct).with_context(|| format!("with {}", program.display()))?;
    }
    Ok(())
}

fn all(client: &Client, direct: &Client) -> Result<()> {
    client.sleeper("s1", &[])?;
    for (what, script) in SCRIPTS {
        client.script(script)?.ok().context(what)?;
    }
    logs_follow(client)?;
    let list = [
        "images",
        "--no-trunc",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.ID}}",
    ];
    let images = client.run(&list)?.ok()?;
    ensure!(
        images.len() > 64 << 10,
        "docker images prints only {} bytes",
        images.len()
    );
    let without = direct.run(&list)?.ok()?;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    ensure!(
        lines(&images) == lines(&without),
        "docker images differs from Docker's own: {images}"
    );
    client.run(&["info"])?.ok()?;
    for line in [&["inspect", "s1"][..], &["network", "inspect", "bridge"]] {
        let (through, without) = (client.run(line)?.ok()?, direct.run(line)?.ok()?);
        ensure!(
            through == without,
            "docker {line:?} differs from Docker's own: {through} {without}"
        );
    }
    client.remove(&["s1"])
}

/// Lines come as they are written, and the command ends with the container
fn logs_follow(client: &Client) -> Result<()> {
    let script = "echo begun; while [ ! -e /go ]; do sleep 0.05; done; echo done";
    client
        .run(&["run", "-d", "--name", "s3", IMAGE, "sh", "-c", script])?
        .ok()?;
    let logs = client.start(&["logs", "-f", "s3"])?;
    let printed = |wanted: &str| {
        wait_for("docker logs -f prints", PATIENCE, || {
            let printed = logs.printed();
            Ok(match printed == wanted {
                true => Look::Done(()),
                false => Look::NotYet(printed),
            })
        })
    };
    printed("begun\n")?;
    client.exec("s3", &["touch", "/go"])?;
    printed("begun\ndone\n")?;
    logs.wait(PATIENCE)?.ok()?;
    client.remove(&["s3"])
}

/// As many as fill more than 64 KB of a list
fn many_images(client: &Client) -> Result<()> {
    let tags = "for n in $(seq 500); do $docker tag busybox \
        registry.example/some-project/an-image-with-a-long-name-for-a-long-list:$n & \
        [ $((n % 20)) != 0 ] || wait; done; wait";
    client.script(tags)?.ok().map(drop)
}
