//! The programs that run other programs: where the inner command stands.
//!
//! A table, not code: which options take a value, how many words to skip, and whether what
//! follows is a command of words or one string of shell code.

use super::ruleset::hash;
use super::walk::Arg;

/// What the words after the options are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    /// A command: word by word.
    Argv,
    /// Shell code: the words joined by spaces.
    Joined,
    /// Each word is shell code.
    Each,
    /// Nothing that runs.
    Nothing,
}

/// One way in which a program runs another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exec {
    /// The command is the words that follow, behind this name.
    pub(crate) named: &'static str,
    /// The first words must be these (`run`, `compose exec`); alternatives with `|`.
    pub(crate) sub: &'static str,
    /// Options that take the next word, separated by spaces.
    pub(crate) values: &'static str,
    /// Options whose value is shell code.
    pub(crate) code: &'static str,
    /// Options with which nothing runs.
    pub(crate) query: &'static str,
    /// Words to skip before the command.
    pub(crate) skip: u8,
    pub(crate) then: Then,
    /// `NAME=value` words come first.
    pub(crate) assigns: bool,
    /// The command stands after `--` only.
    pub(crate) dashes: bool,
    /// It runs on another machine.
    pub(crate) remote: bool,
    /// With no command, standard input is shell code.
    pub(crate) stdin: bool,
}

const ARGV: Exec = Exec {
    named: "",
    sub: "",
    values: "",
    code: "",
    query: "",
    skip: 0,
    then: Then::Argv,
    assigns: false,
    dashes: false,
    remote: false,
    stdin: false,
};
const CODE: Exec = Exec {
    then: Then::Nothing,
    ..ARGV
};
/// `tool run COMMAND`.
const RUN: Exec = Exec { sub: "run", ..ARGV };
/// `tool exec COMMAND`.
const EXEC: Exec = Exec {
    sub: "exec",
    ..ARGV
};

const CONTAINER: &str = "-e --env -u --user -w --workdir --env-file --detach-keys --index";
const CONTAINER_RUN: &str = "-e --env -u --user -w --workdir --env-file -v --volume -p --publish --name --network --net --entrypoint -m --memory --cpus -h --hostname -l --label --mount --platform --add-host --dns --link --gpus --ipc --pid --restart --ulimit --shm-size --tmpfs --device --cap-add --cap-drop --security-opt --log-driver --log-opt --pull --cidfile --volumes-from --expose --ip --runtime --userns --pod -a --attach -c --cpu-shares";

const CONTAINERS: &[Exec] = &[
    Exec {
        sub: "exec|container exec",
        values: CONTAINER,
        skip: 1,
        ..ARGV
    },
    Exec {
        sub: "run|container run|create|container create",
        values: CONTAINER_RUN,
        skip: 1,
        ..ARGV
    },
    Exec {
        sub: "compose exec",
        values: "-e --env -u --user -w --workdir --index -f --file -p --project-name --profile",
        skip: 1,
        ..ARGV
    },
    Exec {
        sub: "compose run",
        values: "-e --env -u --user -w --workdir --name -v --volume -p --publish --entrypoint -f --file --project-name --profile",
        skip: 1,
        ..ARGV
    },
];
const COMPOSE: &[Exec] = &[
    Exec {
        sub: "exec",
        values: "-e --env -u --user -w --workdir --index -f --file -p --project-name --profile",
        skip: 1,
        ..ARGV
    },
    Exec {
        sub: "run",
        values: "-e --env -u --user -w --workdir --name -v --volume -p --publish --entrypoint -f --file --project-name --profile",
        skip: 1,
        ..ARGV
    },
];
const KUBE: &[Exec] = &[
    Exec {
        sub: "exec",
        values: "-n --namespace -c --container --context --kubeconfig --cluster --user -f --filename -s --server --token --pod-running-timeout",
        skip: 1,
        ..ARGV
    },
    Exec {
        sub: "run|debug",
        values: "-n --namespace --context --kubeconfig --image --restart -l --labels --overrides -c --container --target",
        dashes: true,
        ..ARGV
    },
];
const RUNNERS: &[Exec] = &[Exec {
    values: "-p --python --with --extra --group --project --directory --env-file --index-url --from -e --environment -C --package --only-group",
    ..RUN
}];
const PACKAGE_EXEC: &[Exec] = &[
    Exec {
        sub: "exec|x",
        code: "-c --call",
        values: "-p --package -w --workspace",
        ..ARGV
    },
    Exec {
        sub: "dlx",
        values: "-p --package",
        ..ARGV
    },
];
const SECRETS: &[Exec] = &[Exec {
    sub: "run|exec",
    values: "-p --project -c --config --env --env-file --account -e --path --environment -t --token",
    code: "--command",
    dashes: true,
    ..ARGV
}];
const SSH_VALUES: &str = "-b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w -B";

/// Every program of the table. One name, its ways.
static NAMES: &[(&str, &[Exec])] = &[
    (
        "sudo",
        &[Exec {
            values: "-u --user -g --group -h --host -p --prompt -C --close-from -r --role -t --type -T --command-timeout -U --other-user -D --chdir -R --chroot",
            query: "-l --list -v --validate -K -V --version --help",
            assigns: true,
            ..ARGV
        }],
    ),
    (
        "doas",
        &[Exec {
            values: "-u -C -a",
            ..ARGV
        }],
    ),
    (
        "pkexec",
        &[Exec {
            values: "--user",
            ..ARGV
        }],
    ),
    (
        "run0",
        &[Exec {
            values: "-u --user -g --group -D --chdir --unit --property --description --slice --nice --setenv",
            ..ARGV
        }],
    ),
    ("gosu", &[Exec { skip: 1, ..ARGV }]),
    ("su-exec", &[Exec { skip: 1, ..ARGV }]),
    ("setuidgid", &[Exec { skip: 1, ..ARGV }]),
    (
        "chpst",
        &[Exec {
            values: "-u -U -e -/ -b -m -d -o -p -f -c -t -l -L",
            ..ARGV
        }],
    ),
    (
        "su",
        &[Exec {
            code: "-c --command --session-command",
            values: "-s --shell -g --group -G --supp-group -w --whitelist-environment",
            stdin: true,
            ..CODE
        }],
    ),
    (
        "runuser",
        &[Exec {
            code: "-c --command --session-command",
            values: "-u --user -s --shell -g --group -G --supp-group -w",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "command",
        &[Exec {
            query: "-v -V",
            ..ARGV
        }],
    ),
    ("builtin", &[ARGV]),
    (
        "exec",
        &[Exec {
            values: "-a",
            ..ARGV
        }],
    ),
    ("nohup", &[ARGV]),
    (
        "time",
        &[Exec {
            values: "-f --format -o --output",
            ..ARGV
        }],
    ),
    (
        "gtime",
        &[Exec {
            values: "-f --format -o --output",
            ..ARGV
        }],
    ),
    (
        "timeout",
        &[Exec {
            values: "-k --kill-after -s --signal",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "gtimeout",
        &[Exec {
            values: "-k --kill-after -s --signal",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "nice",
        &[Exec {
            values: "-n --adjustment",
            ..ARGV
        }],
    ),
    (
        "ionice",
        &[Exec {
            values: "-c --class -n --classdata -p --pid -P -u",
            ..ARGV
        }],
    ),
    (
        "chrt",
        &[Exec {
            values: "-T -P -D -p --pid",
            skip: 1,
            ..ARGV
        }],
    ),
    ("taskset", &[Exec { skip: 1, ..ARGV }]),
    (
        "numactl",
        &[Exec {
            values: "-i --interleave -p --preferred -N --cpunodebind -m --membind -C --physcpubind -l",
            ..ARGV
        }],
    ),
    (
        "prlimit",
        &[Exec {
            values: "-p --pid -o --output",
            ..ARGV
        }],
    ),
    (
        "cpulimit",
        &[Exec {
            values: "-l --limit -p --pid -e --exe -c",
            ..ARGV
        }],
    ),
    (
        "cgexec",
        &[Exec {
            values: "-g",
            ..ARGV
        }],
    ),
    (
        "stdbuf",
        &[Exec {
            values: "-i --input -o --output -e --error",
            ..ARGV
        }],
    ),
    ("unbuffer", &[ARGV]),
    ("setsid", &[ARGV]),
    (
        "setpriv",
        &[Exec {
            values: "--reuid --regid --groups --ambient-caps --inh-caps --bounding-set --securebits --selinux-label",
            ..ARGV
        }],
    ),
    ("setarch", &[Exec { skip: 1, ..ARGV }]),
    ("linux32", &[ARGV]),
    ("linux64", &[ARGV]),
    (
        "arch",
        &[Exec {
            values: "-arch -e",
            ..ARGV
        }],
    ),
    (
        "caffeinate",
        &[Exec {
            values: "-t -w",
            ..ARGV
        }],
    ),
    (
        "flock",
        &[Exec {
            code: "-c --command",
            values: "-w --wait --timeout -E --conflict-exit-code",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "lockf",
        &[Exec {
            values: "-t",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "chroot",
        &[Exec {
            values: "--userspec --groups -u -g -G",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "arch-chroot",
        &[Exec {
            values: "-u",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "proot",
        &[Exec {
            values: "-r --rootfs -b --bind -q --qemu -w --cwd -m",
            ..ARGV
        }],
    ),
    (
        "unshare",
        &[Exec {
            values: "-R --root -w --wd -S --setuid -G --setgid --map-user --map-group --propagation",
            ..ARGV
        }],
    ),
    (
        "nsenter",
        &[Exec {
            values: "-t --target -S --setuid -G --setgid",
            ..ARGV
        }],
    ),
    (
        "ip",
        &[Exec {
            sub: "netns exec",
            skip: 1,
            ..ARGV
        }],
    ),
    ("firejail", &[ARGV]),
    (
        "bwrap",
        &[Exec {
            values: "--bind --ro-bind --dev-bind --chdir --setenv --unsetenv --tmpfs --proc --dev --uid --gid --hostname --symlink --dir",
            ..ARGV
        }],
    ),
    (
        "fakeroot",
        &[Exec {
            values: "-l --lib -s -i -b",
            ..ARGV
        }],
    ),
    ("fakechroot", &[ARGV]),
    ("eatmydata", &[ARGV]),
    (
        "proxychains",
        &[Exec {
            values: "-f",
            ..ARGV
        }],
    ),
    (
        "proxychains4",
        &[Exec {
            values: "-f",
            ..ARGV
        }],
    ),
    ("torsocks", &[ARGV]),
    ("dbus-run-session", &[ARGV]),
    ("dbus-launch", &[ARGV]),
    (
        "xvfb-run",
        &[Exec {
            values: "-s --server-args -n --server-num -e --error-file -f --auth-file -w --wait",
            ..ARGV
        }],
    ),
    (
        "systemd-run",
        &[Exec {
            values: "-u --unit -p --property -d --working-directory -E --setenv --uid --gid --nice --slice --description -t -M --machine -H --host --on-active --on-calendar",
            ..ARGV
        }],
    ),
    (
        "systemd-inhibit",
        &[Exec {
            values: "--what --who --why --mode",
            ..ARGV
        }],
    ),
    (
        "start-stop-daemon",
        &[Exec {
            values: "-x --exec -p --pidfile -n --name -u --user -g --group -c --chuid -d --chdir",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "daemonize",
        &[Exec {
            values: "-c -e -o -p -l -u -E",
            ..ARGV
        }],
    ),
    (
        "strace",
        &[Exec {
            values: "-o -e -p -s -u -E -a -b -I -O -P -S -X",
            ..ARGV
        }],
    ),
    (
        "ltrace",
        &[Exec {
            values: "-o -e -p -s -u -a -l -n -x -F",
            ..ARGV
        }],
    ),
    ("dtruss", &[ARGV]),
    (
        "gdb",
        &[Exec {
            query: "",
            values: "-ex -x -p --eval-command -iex --command --pid -c --core",
            ..ARGV
        }],
    ),
    ("valgrind", &[ARGV]),
    (
        "rr",
        &[Exec {
            sub: "record",
            ..ARGV
        }],
    ),
    (
        "perf",
        &[Exec {
            sub: "stat|record|trace",
            values: "-e --event -o --output -F -g -p -C -r",
            ..ARGV
        }],
    ),
    ("heaptrack", &[ARGV]),
    ("catchsegv", &[ARGV]),
    (
        "hyperfine",
        &[Exec {
            values: "-w --warmup -r --runs -m --min-runs -M --max-runs -n --command-name -L --parameter-list -P --parameter-scan --export-json --export-markdown --export-csv -S --shell",
            code: "-p --prepare -c --cleanup -s --setup",
            then: Then::Each,
            ..ARGV
        }],
    ),
    ("busybox", &[ARGV]),
    ("toybox", &[ARGV]),
    (
        "watch",
        &[Exec {
            values: "-n --interval -q --equexit",
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "viddy",
        &[Exec {
            values: "-n --interval",
            then: Then::Joined,
            ..ARGV
        }],
    ),
    ("entr", &[ARGV]),
    (
        "watchexec",
        &[Exec {
            values: "-w --watch -e --exts -f --filter -i --ignore -s --signal --shell -d --debounce",
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "nodemon",
        &[Exec {
            code: "-x --exec",
            values: "-w --watch -e --ext -i --ignore -d --delay",
            ..CODE
        }],
    ),
    (
        "concurrently",
        &[Exec {
            values: "-n --names -c --prefix-colors -p --prefix -m --max-processes -s --success",
            then: Then::Each,
            ..ARGV
        }],
    ),
    ("npm-run-all", &[CODE]),
    (
        "retry",
        &[Exec {
            values: "-t --times -d --delay -u --until",
            ..ARGV
        }],
    ),
    ("chronic", &[ARGV]),
    ("ts", &[CODE]),
    (
        "script",
        &[Exec {
            code: "-c --command",
            values: "-I -O -B -T -m -E -o -t",
            ..CODE
        }],
    ),
    (
        "screen",
        &[Exec {
            values: "-S -L -p -t -s -h -c -T -e",
            ..ARGV
        }],
    ),
    (
        "tmux",
        &[
            Exec {
                sub: "new-session|new|new-window|neww|split-window|splitw|respawn-pane|respawnp|respawn-window|run-shell|run|display-popup|popup",
                values: "-s -n -t -c -x -y -F -e -l -p",
                then: Then::Joined,
                ..ARGV
            },
            Exec {
                sub: "send-keys|send|send-prefix",
                values: "-t -N",
                then: Then::Each,
                ..ARGV
            },
            Exec {
                sub: "if-shell|if|pipe-pane|pipep",
                values: "-t",
                then: Then::Each,
                ..ARGV
            },
        ],
    ),
    (
        "zellij",
        &[Exec {
            sub: "run|action new-pane",
            values: "-n --name --cwd -d",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "xterm",
        &[Exec {
            values: "-T -title -geometry -fn -bg -fg",
            ..ARGV
        }],
    ),
    (
        "gnome-terminal",
        &[Exec {
            code: "-e --command",
            dashes: true,
            ..ARGV
        }],
    ),
    ("konsole", &[ARGV]),
    ("alacritty", &[ARGV]),
    ("kitty", &[ARGV]),
    (
        "ssh",
        &[Exec {
            values: SSH_VALUES,
            skip: 1,
            then: Then::Joined,
            remote: true,
            stdin: true,
            ..ARGV
        }],
    ),
    (
        "autossh",
        &[Exec {
            values: "-M -b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w -B",
            skip: 1,
            then: Then::Joined,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "mosh",
        &[Exec {
            values: "-p --port",
            code: "",
            skip: 1,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "rsh",
        &[Exec {
            values: "-l -p",
            skip: 1,
            then: Then::Joined,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "pdsh",
        &[Exec {
            values: "-w -x -l -f -t -u -R -g",
            then: Then::Joined,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "pssh",
        &[Exec {
            values: "-h --hosts -H --host -l --user -p --par -o --outdir -e --errdir -t --timeout -O --option -x --extra-args -X",
            then: Then::Joined,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "parallel-ssh",
        &[Exec {
            values: "-h --hosts -H --host -l --user -p --par -o --outdir -e --errdir -t --timeout -O --option -x -X",
            then: Then::Joined,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "sshpass",
        &[Exec {
            values: "-p -f -d -P",
            ..ARGV
        }],
    ),
    (
        "vagrant",
        &[Exec {
            sub: "ssh",
            code: "-c --command",
            remote: true,
            ..CODE
        }],
    ),
    (
        "gcloud",
        &[Exec {
            sub: "compute ssh|beta compute ssh|alpha compute ssh|compute tpus tpu-vm ssh",
            code: "--command",
            values: "--zone --project",
            dashes: true,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "aws",
        &[Exec {
            sub: "ecs execute-command",
            code: "--command",
            remote: true,
            ..CODE
        }],
    ),
    (
        "az",
        &[Exec {
            sub: "vm run-command invoke",
            code: "--scripts",
            remote: true,
            ..CODE
        }],
    ),
    (
        "fly",
        &[Exec {
            sub: "ssh console",
            code: "-C --command",
            remote: true,
            ..CODE
        }],
    ),
    (
        "flyctl",
        &[Exec {
            sub: "ssh console",
            code: "-C --command",
            remote: true,
            ..CODE
        }],
    ),
    (
        "heroku",
        &[Exec {
            sub: "run|run:detached|ps:exec",
            values: "-a --app -r --remote -s --size -e --env",
            remote: true,
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "railway",
        &[Exec {
            values: "-s --service -e --environment",
            ..RUN
        }],
    ),
    (
        "multipass",
        &[Exec {
            sub: "exec",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "limactl",
        &[Exec {
            sub: "shell",
            values: "--workdir --shell",
            skip: 1,
            ..ARGV
        }],
    ),
    ("lima", &[ARGV]),
    (
        "orb",
        &[Exec {
            values: "-m --machine -u --user -w --workdir",
            ..ARGV
        }],
    ),
    (
        "wsl",
        &[Exec {
            values: "-d --distribution -u --user --cd",
            ..ARGV
        }],
    ),
    (
        "lxc",
        &[Exec {
            sub: "exec",
            values: "--env --cwd --user --group",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "incus",
        &[Exec {
            sub: "exec",
            values: "--env --cwd --user --group",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "machinectl",
        &[Exec {
            sub: "shell",
            values: "-E --setenv --uid",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "systemd-nspawn",
        &[Exec {
            values: "-D --directory -i --image -M --machine -u --user --bind --bind-ro -E --setenv",
            ..ARGV
        }],
    ),
    (
        "toolbox",
        &[Exec {
            values: "-c --container -d --distro -r --release",
            ..RUN
        }],
    ),
    (
        "distrobox",
        &[Exec {
            sub: "enter",
            values: "-n --name -a --additional-flags",
            dashes: true,
            ..ARGV
        }],
    ),
    ("crictl", &[Exec { skip: 1, ..EXEC }]),
    (
        "nsjail",
        &[Exec {
            dashes: true,
            ..ARGV
        }],
    ),
    ("docker", CONTAINERS),
    ("podman", CONTAINERS),
    ("nerdctl", CONTAINERS),
    ("finch", CONTAINERS),
    ("ctr", CONTAINERS),
    ("docker-compose", COMPOSE),
    ("podman-compose", COMPOSE),
    (
        "devcontainer",
        &[Exec {
            sub: "exec",
            values: "--workspace-folder --container-id --config",
            ..ARGV
        }],
    ),
    ("kubectl", KUBE),
    ("oc", KUBE),
    ("k", KUBE),
    ("microk8s", &[ARGV]),
    ("k3s", &[ARGV]),
    (
        "minikube",
        &[
            Exec {
                sub: "ssh",
                then: Then::Joined,
                remote: true,
                ..ARGV
            },
            Exec {
                named: "kubectl",
                sub: "kubectl",
                dashes: true,
                ..ARGV
            },
        ],
    ),
    ("poetry", RUNNERS),
    ("uv", RUNNERS),
    ("pipenv", RUNNERS),
    ("pdm", RUNNERS),
    ("hatch", RUNNERS),
    ("rye", RUNNERS),
    ("pixi", RUNNERS),
    ("flatpak-spawn", &[ARGV]),
    (
        "conda",
        &[Exec {
            values: "-n --name -p --prefix --cwd",
            ..RUN
        }],
    ),
    (
        "mamba",
        &[Exec {
            values: "-n --name -p --prefix --cwd",
            ..RUN
        }],
    ),
    (
        "micromamba",
        &[Exec {
            values: "-n --name -p --prefix --cwd",
            ..RUN
        }],
    ),
    (
        "tox",
        &[Exec {
            sub: "exec",
            dashes: true,
            ..ARGV
        }],
    ),
    ("nox", &[CODE]),
    ("bundle", &[EXEC]),
    ("bundler", &[EXEC]),
    ("rbenv", &[EXEC]),
    ("pyenv", &[EXEC]),
    ("nodenv", &[EXEC]),
    ("goenv", &[EXEC]),
    ("jenv", &[EXEC]),
    (
        "asdf",
        &[Exec {
            sub: "exec",
            ..ARGV
        }],
    ),
    (
        "mise",
        &[Exec {
            sub: "exec|x",
            code: "-c --command",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "rtx",
        &[Exec {
            sub: "exec|x",
            code: "-c --command",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "rvm",
        &[
            Exec { sub: "do", ..ARGV },
            Exec {
                sub: "* do",
                ..ARGV
            },
        ],
    ),
    (
        "nvm",
        &[Exec {
            sub: "exec",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "fnm",
        &[Exec {
            sub: "exec",
            values: "--using",
            ..ARGV
        }],
    ),
    (
        "volta",
        &[Exec {
            values: "--node --npm --yarn",
            ..RUN
        }],
    ),
    (
        "rustup",
        &[Exec {
            sub: "run",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "opam",
        &[Exec {
            sub: "exec",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "stack",
        &[Exec {
            sub: "exec",
            ..ARGV
        }],
    ),
    (
        "cabal",
        &[Exec {
            sub: "exec",
            ..ARGV
        }],
    ),
    (
        "direnv",
        &[Exec {
            sub: "exec",
            skip: 1,
            ..ARGV
        }],
    ),
    (
        "nix-shell",
        &[Exec {
            code: "--run --command",
            values: "-p --packages -A --attr -I -E --expr",
            ..CODE
        }],
    ),
    (
        "nix",
        &[
            Exec {
                sub: "develop|shell|run",
                code: "",
                values: "",
                dashes: true,
                ..ARGV
            },
            Exec {
                sub: "develop|shell",
                ..CODE
            },
        ],
    ),
    ("devbox", &[Exec { ..RUN }]),
    (
        "devenv",
        &[Exec {
            sub: "shell",
            ..ARGV
        }],
    ),
    (
        "guix",
        &[Exec {
            sub: "shell|environment",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "spack",
        &[Exec {
            sub: "build-env",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "npx",
        &[Exec {
            code: "-c --call",
            values: "-p --package",
            ..ARGV
        }],
    ),
    ("bunx", &[ARGV]),
    ("pnpx", &[ARGV]),
    (
        "uvx",
        &[Exec {
            values: "--from --with -p --python",
            ..ARGV
        }],
    ),
    (
        "pipx",
        &[Exec {
            sub: "run",
            values: "--spec --python",
            ..ARGV
        }],
    ),
    ("npm", PACKAGE_EXEC),
    ("pnpm", PACKAGE_EXEC),
    ("yarn", PACKAGE_EXEC),
    ("bun", &[Exec { sub: "x", ..ARGV }]),
    (
        "lerna",
        &[
            Exec {
                sub: "exec",
                dashes: true,
                ..ARGV
            },
            Exec {
                sub: "exec",
                then: Then::Joined,
                ..ARGV
            },
        ],
    ),
    ("turbo", &[CODE]),
    (
        "cross-env",
        &[Exec {
            assigns: true,
            ..ARGV
        }],
    ),
    (
        "cross-env-shell",
        &[Exec {
            assigns: true,
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "dotenv",
        &[Exec {
            values: "-e -f --file -p -c",
            ..ARGV
        }],
    ),
    (
        "env-cmd",
        &[Exec {
            values: "-f --file -e -r",
            ..ARGV
        }],
    ),
    ("envdir", &[Exec { skip: 1, ..ARGV }]),
    (
        "dotenvx",
        &[Exec {
            values: "-f --env-file -e --env",
            dashes: true,
            ..RUN
        }],
    ),
    ("op", SECRETS),
    ("doppler", SECRETS),
    ("infisical", SECRETS),
    (
        "chamber",
        &[Exec {
            sub: "exec",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "aws-vault",
        &[Exec {
            sub: "exec",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "sops",
        &[Exec {
            sub: "exec-env|exec-file",
            skip: 1,
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "teller",
        &[Exec {
            sub: "run",
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "summon",
        &[Exec {
            values: "-p -f -e",
            ..ARGV
        }],
    ),
    (
        "envconsul",
        &[Exec {
            values: "-prefix -secret -config",
            ..ARGV
        }],
    ),
    ("vault-env", &[ARGV]),
    ("with-contenv", &[ARGV]),
    (
        "consul",
        &[
            Exec {
                sub: "lock",
                skip: 1,
                ..ARGV
            },
            Exec {
                sub: "exec",
                then: Then::Joined,
                remote: true,
                ..ARGV
            },
        ],
    ),
    (
        "tini",
        &[Exec {
            dashes: true,
            ..ARGV
        }],
    ),
    ("dumb-init", &[ARGV]),
    ("s6-setuidgid", &[Exec { skip: 1, ..ARGV }]),
    (
        "catatonit",
        &[Exec {
            dashes: true,
            ..ARGV
        }],
    ),
    (
        "at",
        &[Exec {
            values: "-f -q -t",
            then: Then::Nothing,
            stdin: true,
            ..ARGV
        }],
    ),
    (
        "batch",
        &[Exec {
            stdin: true,
            ..CODE
        }],
    ),
    ("crontab", &[CODE]),
    (
        "ansible",
        &[Exec {
            code: "-a --args",
            values: "-m -i -u -e",
            remote: true,
            ..CODE
        }],
    ),
    (
        "salt",
        &[Exec {
            values: "",
            skip: 2,
            then: Then::Joined,
            remote: true,
            ..ARGV
        }],
    ),
    (
        "launchctl",
        &[Exec {
            sub: "asuser",
            skip: 1,
            ..ARGV
        }],
    ),
    ("open", &[CODE]),
    (
        "flatpak",
        &[Exec {
            sub: "run",
            code: "",
            values: "--command",
            ..CODE
        }],
    ),
    (
        "sg",
        &[Exec {
            code: "-c",
            skip: 1,
            then: Then::Joined,
            ..ARGV
        }],
    ),
    ("newgrp", &[CODE]),
    (
        "capsh",
        &[Exec {
            dashes: true,
            ..CODE
        }],
    ),
    (
        "sem",
        &[Exec {
            values: "-j --jobs --id",
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "tsp",
        &[Exec {
            values: "-L -N -D -S",
            ..ARGV
        }],
    ),
    ("nq", &[ARGV]),
    (
        "pueue",
        &[Exec {
            sub: "add",
            values: "-g --group -w --working-directory -d --delay -a --after -l --label",
            then: Then::Joined,
            ..ARGV
        }],
    ),
    (
        "srun",
        &[Exec {
            values: "-n -N -c -p -t -J -A --ntasks --nodes --partition --time",
            ..ARGV
        }],
    ),
    (
        "mpirun",
        &[Exec {
            values: "-n -np -H -host --host -hostfile -x",
            ..ARGV
        }],
    ),
    (
        "mpiexec",
        &[Exec {
            values: "-n -np -H -host",
            ..ARGV
        }],
    ),
    ("xdotool", &[CODE]),
    ("wine", &[ARGV]),
    ("qemu-x86_64", &[ARGV]),
    (
        "rlwrap",
        &[Exec {
            values: "-H -f -C -c -p",
            ..ARGV
        }],
    ),
    ("expect", &[CODE]),
    ("winpty", &[ARGV]),
    ("start", &[ARGV]),
    (
        "forfiles",
        &[Exec {
            code: "/c /C",
            ..CODE
        }],
    ),
    (
        "cargo",
        &[Exec {
            sub: "watch",
            code: "-s --shell",
            values: "-x --exec -w --watch",
            ..CODE
        }],
    ),
    ("git-bash", &[ARGV]),
    ("nocorrect", &[ARGV]),
    ("noglob", &[ARGV]),
    ("-", &[ARGV]),
    (
        "faketime",
        &[Exec {
            values: "-f",
            skip: 1,
            ..ARGV
        }],
    ),
    ("rosetta", &[ARGV]),
    (
        "tracexec",
        &[Exec {
            sub: "log|tui",
            dashes: true,
            ..ARGV
        }],
    ),
    ("ccache", &[ARGV]),
    ("pv", &[CODE]),
];

const SLOTS: usize = 1024;

static TABLE: [u16; SLOTS] = {
    let mut table = [0u16; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        let mut slot = hash(NAMES[i].0) as usize % SLOTS;
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = i as u16 + 1;
        i += 1;
    }
    table
};

/// The ways in which a program runs others.
pub(crate) fn ways(name: &str) -> &'static [Exec] {
    let mut slot = hash(name) as usize % SLOTS;
    while TABLE[slot] != 0 {
        let (found, ways) = NAMES[TABLE[slot] as usize - 1];
        if found == name {
            return ways;
        }
        slot = (slot + 1) % SLOTS;
    }
    &[]
}

/// A command found behind a wrapper.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inner {
    /// Words from this index on are the command.
    Argv(usize),
    /// The word at this index is shell code.
    Code(usize),
    /// The part after `=` of the word at this index is shell code.
    CodeAfter(usize, usize),
    /// Each word from this index on is shell code.
    Each(usize),
    /// Words from this index on, joined, are shell code.
    Joined(usize),
    /// Nothing is given to run: a shell that reads standard input, if the way says so.
    Nothing,
}

/// Applies one way to a command line; `None` if it is not this way.
pub(crate) fn apply(way: &Exec, args: &[Arg<'_>], mut found: impl FnMut(Inner)) -> Option<()> {
    let has = |list: &str, option: &str| !list.is_empty() && list.split(' ').any(|o| o == option);
    let mut i = 1;
    let mut skip = way.skip;
    let mut sub = if way.sub.is_empty() {
        None
    } else {
        Some(way.sub)
    };
    let mut any = false;
    while let Some(word) = args.get(i).map(|a| a.text) {
        if let Some(path) = sub {
            // Options of the tool itself may stand before the subcommand.
            if word.starts_with('-') && word.len() > 1 {
                i += if has(way.values, word) || before_sub(word) {
                    2
                } else {
                    1
                };
                continue;
            }
            let depth = path.split('|').find_map(|path| {
                let count = path.split(' ').count();
                let same = path
                    .split(' ')
                    .zip(&args[i..])
                    .filter(|(p, w)| *p == w.text || *p == "*")
                    .count()
                    == count;
                (same && args.len() >= i + count).then_some(count)
            })?;
            i += depth;
            sub = None;
            continue;
        }
        if word == "--" {
            i += 1;
            if way.dashes {
                if i < args.len() {
                    found(Inner::Argv(i));
                    any = true;
                }
                break;
            }
            continue;
        }
        if word.starts_with('-') && word.len() > 1 || way.code.contains('/') && has(way.code, word)
        {
            if has(way.query, word) || asks(way, word) {
                return Some(());
            }
            if let Some((option, _)) = word.split_once('=')
                && has(way.code, option)
            {
                found(Inner::CodeAfter(i, option.len() + 1));
                any = true;
                i += 1;
            } else if has(way.code, word) || clustered(way.code, word) {
                if i + 1 < args.len() {
                    found(Inner::Code(i + 1));
                    any = true;
                }
                i += 2;
            } else if let Some(at) = joined_code(way.code, word) {
                found(Inner::CodeAfter(i, at));
                any = true;
                i += 1;
            } else {
                i += if has(way.values, word) { 2 } else { 1 };
            }
            continue;
        }
        if way.assigns && super::walk::assignment(word).is_some() {
            i += 1;
            continue;
        }
        if skip > 0 {
            skip -= 1;
            i += 1;
            continue;
        }
        if way.dashes || way.then == Then::Nothing {
            i += 1;
            continue;
        }
        found(match way.then {
            Then::Argv => Inner::Argv(i),
            Then::Joined => Inner::Joined(i),
            _ => Inner::Each(i),
        });
        return Some(());
    }
    if sub.is_some() {
        return None;
    }
    if !any {
        found(Inner::Nothing);
    }
    Some(())
}

/// Global options with a value that may stand before the subcommand of any tool.
fn before_sub(word: &str) -> bool {
    matches!(
        word,
        "-n" | "--namespace"
            | "--context"
            | "--kubeconfig"
            | "-H"
            | "--host"
            | "--config"
            | "--profile"
            | "--region"
            | "--project"
            | "-f"
            | "--file"
            | "-p"
            | "--project-name"
            | "--log-level"
            | "-C"
            | "--directory"
            | "--cwd"
            | "--prefix"
    )
}

/// `-qc CODE`: a cluster of letters of which the last takes the code.
fn clustered(code: &str, word: &str) -> bool {
    let Some(letters) = word
        .strip_prefix('-')
        .filter(|l| !l.starts_with('-') && l.len() > 1)
    else {
        return false;
    };
    let Some(last) = letters.chars().last() else {
        return false;
    };
    last.is_ascii_alphabetic()
        && letters.chars().all(|c| c.is_ascii_alphabetic())
        && code.split(' ').any(|o| o.len() == 2 && o.ends_with(last))
}

/// `-nl`: a cluster of letters, one of which only asks; what follows a letter with a value is its value.
fn asks(way: &Exec, word: &str) -> bool {
    if way.query.is_empty() || word.starts_with("--") {
        return false;
    }
    let in_list = |list: &str, letter: char| {
        list.split(' ')
            .any(|o| o.strip_prefix('-').is_some_and(|l| l.chars().eq([letter])))
    };
    word[1..]
        .chars()
        .take_while(|&c| !in_list(way.values, c))
        .any(|c| in_list(way.query, c))
}

/// `-cCODE`.
fn joined_code(code: &str, word: &str) -> Option<usize> {
    (word.len() > 2
        && !word.starts_with("--")
        && code.split(' ').any(|o| o.len() == 2 && word.starts_with(o)))
    .then_some(2)
}
