//! `docker run`: containers that go when they end, and images that are a program.

use super::base_name;
use crate::guard::walk::Arg;

/// The programs that run containers.
const ENGINES: [&str; 4] = ["docker", "podman", "nerdctl", "finch"];

/// Whether nothing stays of what a container does to its files: it is removed when it ends, and
/// no directory of this machine is in it but temporary ones.
pub(super) fn is_throwaway(args: &[Arg<'_>]) -> bool {
    let runs = is_run(args) && args.iter().any(|a| a.text == "--rm");
    runs && mounts(args).all(|mount| {
        let source = mount.split_once("source=").or(mount.split_once("src="));
        source
            .map_or(mount, |(_, source)| source)
            .starts_with("/tmp/")
    })
}

/// The program that the words after the image are for, and where they begin: the one that
/// `--entrypoint` names, or the one that the image is (`hashicorp/terraform`). At `at` stands the first
/// of these words that is no option.
pub(super) fn program<'t>(args: &[Arg<'t>], at: usize) -> Option<(Arg<'t>, usize)> {
    if !is_run(args) {
        return None;
    }
    let image = args[..at].iter().rposition(|a| !a.text.starts_with('-'))?;
    for (index, arg) in args[..image].iter().enumerate() {
        let named = match arg.text.strip_prefix("--entrypoint") {
            Some("") => args.get(index + 1).copied(),
            Some(rest) => rest.strip_prefix('=').map(|text| Arg { text, ..*arg }),
            None => None,
        };
        if let Some(named) = named.filter(|a| !a.text.is_empty()) {
            return Some((named, image + 1));
        }
    }
    let image_name = args[image].text.split(['@', ':']).next()?;
    let text = match base_name(image_name) {
        "aws-cli" => "aws",
        "azure-cli" => "az",
        name => name,
    };
    let program = Arg {
        text,
        ..args[image]
    };
    PROGRAMS.contains(&text).then_some((program, image + 1))
}

/// Programs whose images have them as their entry point.
const PROGRAMS: [&str; 12] = [
    "aws",
    "flyctl",
    "git",
    "helm",
    "kubectl",
    "mc",
    "opentofu",
    "packer",
    "pulumi",
    "rclone",
    "restic",
    "terraform",
];

fn is_run(args: &[Arg<'_>]) -> bool {
    ENGINES.contains(&base_name(args[0].text))
        && args.iter().skip(1).take(6).any(|a| a.text == "run")
}

/// What is mounted, as it is written: `SOURCE:TARGET` or `type=bind,source=SOURCE,…`.
fn mounts<'a>(args: &'a [Arg<'a>]) -> impl Iterator<Item = &'a str> {
    let options = ["-v", "--volume", "--mount"];
    let apart = args
        .windows(2)
        .filter(move |pair| options.contains(&pair[0].text))
        .map(|pair| pair[1].text);
    let joined = args.iter().filter_map(move |arg| {
        let (option, value) = arg.text.split_once('=')?;
        options.contains(&option).then_some(value)
    });
    apart.chain(joined)
}
