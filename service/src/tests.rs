use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::Instant;

use super::*;

/// Says to this test's own program, started once more, what it is to do
const ROLE: &str = "SERVICE_TEST_ROLE";

/// This test once more, in a process of its own
fn again(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            &format!("tests::{test}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ROLE, role);
    command
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_hangs_is_given_up() {
    let tick = Duration::from_millis(10);
    for (work, expected) in [(GRACE / 2, GRACE / 2), (Duration::MAX, GRACE)] {
        let begun = tokio::time::Instant::now();
        stop(tokio::time::sleep(work)).await;
        let took = begun.elapsed();
        assert!((expected..expected + tick).contains(&took), "{took:?}");
    }
}

#[test]
fn a_panic_anywhere_ends_the_process_with_its_reason() {
    const TEST: &str = "a_panic_anywhere_ends_the_process_with_its_reason";
    let forever = Duration::from_secs(3600);
    match std::env::var(ROLE).as_deref() {
        Ok("thread") => {
            run(LogLevel::Error, 1, async move {
                std::thread::Builder::new()
                    .name("packets".to_owned())
                    .spawn(|| panic!("lost {} frames", 7))?;
                tokio::time::sleep(forever).await;
                Ok(())
            });
        }
        Ok("task") => {
            run(LogLevel::Error, 1, async move {
                tokio::spawn(async { panic!("two\nlines") });
                tokio::time::sleep(forever).await;
                Ok(())
            });
        }
        Ok("blocking") => {
            run(LogLevel::Error, 1, async move {
                tokio::task::spawn_blocking(|| std::panic::panic_any(5));
                tokio::time::sleep(forever).await;
                Ok(())
            });
        }
        _ => {
            for (role, expected) in [
                ("thread", "thread packets panicked at service/src/tests.rs:"),
                ("thread", ": lost 7 frames; the process ends with status 101"),
                ("task", "two lines"),
                ("blocking", "no message"),
            ] {
                let Output { status, stderr, .. } = again(TEST, role).output().unwrap();
                let stderr = String::from_utf8_lossy(&stderr);
                assert_eq!(status.code(), Some(i32::from(PANICKED)), "{role}: {stderr}");
                let last = stderr.lines().last().unwrap();
                assert!(
                    last.contains("ERROR") && last.contains(expected),
                    "{role}: {stderr}"
                );
            }
        }
    }
}

#[test]
fn systemd_hears_signs_of_life_and_that_it_serves() {
    const TEST: &str = "systemd_hears_signs_of_life_and_that_it_serves";
    if std::env::var(ROLE).is_ok() {
        let mut watchdog = Watchdog::from_environment(Instant::now());
        ready();
        let end = Instant::now() + Duration::from_millis(600);
        while Instant::now() < end {
            watchdog.feed(Instant::now());
            std::thread::sleep(Duration::from_millis(5));
        }
        return;
    }
    let path = std::env::temp_dir().join(format!("service-test-{}", std::process::id()));
    let systemd = UnixDatagram::bind(&path).unwrap();
    let child = again(TEST, "alive")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000")
        .env_remove("WATCHDOG_PID")
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(child.status.success(), "{child:?}");
    systemd.set_nonblocking(true).unwrap();
    let mut buffer = [0; 64];
    let mut heard = Vec::new();
    while let Ok(len) = systemd.recv(&mut buffer) {
        heard.push(String::from_utf8_lossy(&buffer[..len]).trim().to_owned());
    }
    assert_eq!(heard.first().map(String::as_str), Some("READY=1"));
    let alive = heard.iter().filter(|line| *line == "WATCHDOG=1").count();
    assert_eq!(heard.len(), alive + 1, "{heard:?}");
    assert!((3..=7).contains(&alive), "one each 0.1 s for 0.6 s: {alive}");
}
