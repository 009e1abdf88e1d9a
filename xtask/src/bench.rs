//! The benchmark: every way between two hosts, on the kernel with Open vSwitch and on the one without.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use crate::build::{self, BENCH, Profile, Workspace};
use crate::command::{cargo, is_installed, quoted, run};
use crate::guest::Guest;
use crate::setup::{Needed, setup_with};
use crate::stage::Stages;
use crate::test::has_open_vswitch;

/// What is measured, and how thoroughly
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Two short rounds, less than two minutes in all
    #[arg(long)]
    quick: bool,
    /// How often everything is measured; each round measures every way once
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// On which kernel; by default on both where this machine's own has no Open vSwitch: there, the guest
    /// measures what needs it, and the machine's own kernel the sleeve
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<Kernel>,
    /// Only this way, beside the kernel's VXLAN; may be given again
    #[arg(long, value_name = "WAY", value_parser = PossibleValuesParser::new(WAYS.map(|way| way.0)))]
    only: Vec<String>,
    /// Measures boringtun, too; cargo builds it first, which takes minutes
    #[arg(long)]
    with_boringtun: bool,
    /// The hot pieces of code instead: their time, and how many instructions they take (by valgrind)
    #[arg(long, conflicts_with_all = ["quick", "rounds", "kernel", "only", "with_boringtun", "json", "svg"])]
    pieces: bool,
    /// Writes every sample, the machine, its kernels and versions to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the picture of throughput here [default: target/bench/throughput-KERNEL.svg]
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench --quick                        a first look
  cargo xtask bench --json result.json             numbers to decide by: seven rounds, about ten minutes
  cargo xtask bench --only sleeve-encrypted --only wireguard-go --kernel native
  cargo xtask bench --pieces                       the code alone, no network

One part of it, as often as is wanted, once `cargo xtask bench` has built it:
  cargo xtask guest \"$PWD/target/release/weave-bench\" --only fastdp --measure packets --measure setups";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kernel {
    /// This machine's own
    Native,
    /// A guest's, which has Open vSwitch
    Guest,
    /// One after the other
    Both,
}

/// The ways that `weave-bench` knows, and whether the guest measures them where both kernels are used:
/// what programs carry is slow there, since a system call takes a hundred times as long
const WAYS: [(&str, bool); 9] = [
    ("underlay", true),
    ("kernel-vxlan", true),
    ("fastdp", true),
    ("fastdp-zero-csum", true),
    ("fastdp-relay", true),
    ("sleeve-clear", false),
    ("sleeve-encrypted", false),
    (WIREGUARD_GO, true),
    (BORINGTUN, false),
];

/// What a first look asks of the guest where both kernels are used, ways and measurements: what only a
/// kernel with Open vSwitch shows
const FIRST_LOOK: ([&str; 3], [&str; 7]) = (
    ["kernel-vxlan", "fastdp", "fastdp-relay"],
    [
        "stream",
        "packets",
        "round-trips",
        "first",
        "newcomers",
        "flood",
        "setups",
    ],
);

const WIREGUARD_GO: &str = "wireguard-go";
const BORINGTUN: &str = "boringtun";

const PACKAGES: &[Needed] = &[
    (
        "wireguard-go",
        "wireguard-go",
        "WireGuard in user space, to compare with",
    ),
    ("wg", "wireguard-tools", "configures it"),
];

const PIECES_PACKAGES: &[Needed] = &[("valgrind", "valgrind", "counts instructions")];

/// Sets up, builds, measures, reports
pub(crate) fn bench(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let mut stages = Stages::default();
    if args.pieces {
        return pieces(&workspace, &mut stages);
    }
    stages.run("set-up", || setup_with(PACKAGES))?;
    stages.run("release build", || {
        build::programs(Profile::Release, &["weaved", "weavectl", BENCH])
    })?;
    let files = workspace.directory("bench")?;
    let boringtun = args.with_boringtun.then(|| {
        let root = files.join("tools");
        let built = stages.run("build of boringtun", || install(&root, "boringtun-cli", "0.7.1"));
        if let Err(error) = built {
            println!("boringtun is not measured: {error:#}");
        }
        root.join("bin/boringtun-cli")
    });
    let bench = workspace.program(Profile::Release, BENCH);
    let mut runs = Vec::new();
    for kernel in args.kernels() {
        let Some(mut words) = args.words(kernel) else {
            continue;
        };
        if let Some(program) = &boringtun {
            words.push(format!("--boringtun={}", program.display()));
        }
        let result = files.join(format!("{}.json", kernel.name()));
        words.push(format!("--json={}", result.display()));
        stages.run(kernel.headline(), || match kernel {
            Kernel::Guest => {
                let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                let line = format!("{} {}", quoted(&bench.to_string_lossy()), line.join(" "));
                Guest::new(args.limit()).run(&line)
            }
            Kernel::Native | Kernel::Both => run(Command::new(&bench).args(&words)),
        })?;
        runs.push((kernel.name(), result));
    }
    ensure!(!runs.is_empty(), "nothing of this is measured on that kernel");
    let names: Vec<&str> = runs.iter().map(|(name, _result)| *name).collect();
    let svg = args.svg.clone();
    let svg = svg.unwrap_or_else(|| files.join(format!("throughput-{}.svg", names.join("-"))));
    stages.run("the report", || report(&bench, &runs, args.json.as_deref(), &svg))?;
    println!("\nthe picture: {}", svg.display());
    stages.summary();
    Ok(())
}

fn report(bench: &Path, runs: &[(&str, PathBuf)], json: Option<&Path>, svg: &Path) -> Result<()> {
    let mut command = Command::new(bench);
    command
        .arg("report")
        .args(runs.iter().map(|(_name, result)| result));
    command.arg("--svg").arg(svg);
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    run(&mut command)
}

impl Args {
    fn kernels(&self) -> Vec<Kernel> {
        match self.kernel {
            Some(Kernel::Both) => vec![Kernel::Native, Kernel::Guest],
            Some(one) => vec![one],
            None if has_open_vswitch() => vec![Kernel::Native],
            None => vec![Kernel::Native, Kernel::Guest],
        }
    }

    /// What `weave-bench` is told on this kernel; none where it has nothing to do there
    fn words(&self, kernel: Kernel) -> Option<Vec<String>> {
        let is_divided = self.kernels().len() > 1;
        let is_wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let is_measured = |(name, in_guest): &(&str, bool)| {
            let here = !is_divided
                || match kernel {
                    Kernel::Guest if self.quick => FIRST_LOOK.0.contains(name),
                    Kernel::Guest => *in_guest,
                    Kernel::Native | Kernel::Both => !name.starts_with("fastdp"),
                };
            here && is_wanted(name) && (*name != BORINGTUN || self.with_boringtun)
        };
        let ways: Vec<&str> = WAYS
            .iter()
            .filter(|way| is_measured(way))
            .map(|way| way.0)
            .collect();
        if ways.is_empty() {
            return None;
        }
        let mut words: Vec<String> = ways.iter().map(|way| format!("--only={way}")).collect();
        words.extend(self.quick.then(|| "--quick".to_owned()));
        if self.quick && is_divided && kernel == Kernel::Guest {
            words.extend(FIRST_LOOK.1.iter().map(|measure| format!("--measure={measure}")));
        }
        words.extend(self.rounds.map(|rounds| format!("--rounds={rounds}")));
        Some(words)
    }

    /// How long the guest may take: several times what it does
    fn limit(&self) -> Duration {
        Duration::from_secs(10 * 60) + Duration::from_secs(3 * 60) * u32::from(self.rounds.unwrap_or(7))
    }
}

impl Kernel {
    const fn name(self) -> &'static str {
        match self {
            Self::Native | Self::Both => "native",
            Self::Guest => "guest",
        }
    }

    const fn headline(self) -> &'static str {
        match self {
            Self::Native | Self::Both => "on this machine's own kernel",
            Self::Guest => "in a guest, on a kernel with Open vSwitch",
        }
    }
}

/// Time by divan, instructions by valgrind
fn pieces(workspace: &Workspace, stages: &mut Stages) -> Result<()> {
    stages.run("set-up", || setup_with(PIECES_PACKAGES))?;
    let root = workspace.directory("bench")?.join("tools");
    stages.run("build of gungraun's runner", || {
        install(&root, "gungraun-runner", GUNGRAUN)
    })?;
    stages.run("time", || run(cargo().args(["bench", "--package", "benches"])))?;
    stages.run("instructions", || {
        let mut bench = cargo();
        bench.args(["bench", "--package", "benches", "--bench", "instructions"]);
        run(bench.env("GUNGRAUN_RUNNER", root.join("bin/gungraun-runner")))
    })?;
    stages.summary();
    Ok(())
}

/// The runner must be of the library's version
const GUNGRAUN: &str = "0.20.0";

/// Builds a program from the registry, unless it is there
fn install(root: &Path, package: &str, version: &str) -> Result<()> {
    ensure!(is_installed("cc"), "there is no C compiler to link with");
    run(cargo()
        .args([
            "install",
            "--quiet",
            "--locked",
            package,
            "--version",
            version,
            "--root",
        ])
        .arg(root))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::try_parse_from([&["bench"], line].concat()).unwrap().args
    }

    #[test]
    fn where_both_kernels_are_used_each_measures_what_it_is_good_for() {
        let both = args(&["--kernel=both", "--only=fastdp", "--only=wireguard-go"]);
        assert_eq!(both.words(Kernel::Native).unwrap(), ["--only=wireguard-go"]);
        assert_eq!(
            both.words(Kernel::Guest).unwrap(),
            ["--only=fastdp", "--only=wireguard-go"]
        );
        assert_eq!(
            args(&["--kernel=both", "--only=sleeve-clear"]).words(Kernel::Guest),
            None
        );
    }

    #[test]
    fn a_first_look_asks_the_guest_for_the_kernels_paths_alone() {
        let words = args(&["--kernel=both", "--quick"]).words(Kernel::Guest).unwrap();
        assert!(words.contains(&"--only=fastdp-relay".to_owned()), "{words:?}");
        assert!(words.contains(&"--measure=setups".to_owned()), "{words:?}");
        let native = ["--only=underlay", "--only=wireguard-go", "--measure=names"];
        assert!(
            !words.iter().any(|word| native.contains(&word.as_str())),
            "{words:?}"
        );
    }

    #[test]
    fn one_kernel_measures_whatever_is_wanted() {
        let guest = args(&["--kernel=guest", "--only=sleeve-clear", "--quick", "--rounds=7"]);
        assert_eq!(
            guest.words(Kernel::Guest).unwrap(),
            ["--only=sleeve-clear", "--quick", "--rounds=7"]
        );
        let all = args(&["--kernel=guest"]);
        assert_eq!(all.words(Kernel::Guest).unwrap().len(), WAYS.len() - 1);
    }
}
