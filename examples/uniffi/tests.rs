//! Generates the bindings for other languages and runs those that this machine can run.
//!
//! Python and Ruby run the shared vectors; Kotlin is compiled and run where there is a compiler;
//! Kotlin and Swift are checked for every exported name. A language that is not installed is
//! skipped, and the output says so.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise, and says what it skips"
)]

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn python_runs_the_vectors() {
    let python = std::env::var_os("PYTHON").unwrap_or("python3".into());
    succeed(
        Command::new(python)
            .args(["-W", "error"])
            .arg(path("examples/uniffi/vectors.py"))
            .env("PYTHONPATH", generated("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    );
}

#[test]
fn ruby_runs_the_vectors_and_the_example() {
    let Some(ffi) = found(Command::new("ruby").args(["-e", "require 'ffi'; puts FFI::VERSION"]))
    else {
        eprintln!("skipped: no Ruby with the gem `ffi` (Debian: apt install ruby-ffi)");
        return;
    };
    eprintln!("Ruby's ffi {ffi}");
    let ruby = |script: PathBuf| {
        let mut ruby = Command::new("ruby");
        ruby.arg("-I").arg(generated("ruby")).arg(script);
        ruby.env("LD_LIBRARY_PATH", generated("ruby"));
        succeed(&mut ruby)
    };
    ruby(path("examples/uniffi/vectors.rb"));
    ruby(block_of_the_page());
    for example in ["guard", "supervisor"] {
        let example = path(&format!("examples/ruby/{example}.rb"));
        assert_eq!(ruby(example.clone()), expected(&example, "# => "));
    }
}

#[test]
fn kotlin_compiles_and_runs_the_example() {
    let jna = std::env::var_os("JNA_JAR").unwrap_or("/usr/share/java/jna.jar".into());
    let (Some(compiler), true) = (
        found(Command::new("kotlinc").arg("-version")),
        Path::new(&jna).exists(),
    ) else {
        eprintln!("skipped: no `kotlinc`, or no jna.jar where Debian puts it or JNA_JAR says");
        return;
    };
    eprintln!("{compiler}");
    let example = path("examples/kotlin/Guard.kt");
    let jar = generated("kotlin").join("example.jar");
    succeed(
        Command::new("kotlinc")
            .args([&example, &generated("kotlin").join("flowgate/flowgate.kt")])
            .args(["-include-runtime", "-nowarn", "-classpath"])
            .arg(&jna)
            .arg("-d")
            .arg(&jar),
    );
    let classes = std::env::join_paths([&jar, Path::new(&jna)]).unwrap();
    let mut java = Command::new("java");
    let library = format!("-Djna.library.path={}", generated("kotlin").display());
    java.arg("-classpath")
        .arg(classes)
        .args([&library, "GuardKt"]);
    assert_eq!(succeed(&mut java), expected(&example, "// => "));
}

/// The generators rename what they generate; nothing may be lost on the way.
#[test]
fn every_exported_name_is_in_every_language() {
    let exports = exports();
    assert!(exports.len() > 25, "{exports:?}");
    let sources = [
        ("kotlin", "flowgate/flowgate.kt"),
        ("swift", "Flowgate.swift"),
        ("python", "flowgate.py"),
        ("ruby", "flowgate.rb"),
    ];
    for (language, file) in sources {
        let source = fs::read_to_string(generated(language).join(file)).unwrap();
        let camel = matches!(language, "kotlin" | "swift");
        for (kind, name) in &exports {
            let constructor = *kind == "fn" && name == "new";
            let said = match (*kind, language) {
                _ if constructor => continue,
                ("fn", "kotlin") => format!("fun `{}`(", camel_case(name)),
                ("fn", "swift") => format!("func {}(", camel_case(name)),
                ("fn", _) => format!("def {name}"),
                (_, "kotlin") if name == "FlowgateError" => "class FlowgateException".to_owned(),
                (_, "ruby") => name.clone(),
                _ => format!(" {name}"),
            };
            // Ruby and Python write methods of the class as `self.name`, those of the module plainly.
            let in_class = said.replace("def ", "def self.");
            let there = source.contains(&said) || (!camel && source.contains(&in_class));
            assert!(there, "{language} lacks `{said}`");
        }
    }
}

/// What Swift declares, as the readable form of the whole surface: a change to it is on purpose.
#[test]
fn the_surface_is_the_committed_one() {
    let source = fs::read_to_string(generated("swift").join("Flowgate.swift")).unwrap();
    let surface = surface(&source);
    let committed = path("examples/uniffi/surface.txt");
    if std::env::var_os("FLOWGATE_UPDATE").is_some() {
        fs::write(&committed, &surface).unwrap();
    }
    assert_eq!(
        fs::read_to_string(committed).unwrap(),
        surface,
        "run the test with FLOWGATE_UPDATE=1 and commit the file"
    );
}

/// The public types, functions, fields and cases, without the machinery of uniffi.
fn surface(swift: &str) -> String {
    const TYPES: [&str; 4] = [
        "enum FlowgateError",
        "open class ",
        "public enum ",
        "public struct ",
    ];
    const MEMBERS: [&str; 7] = [
        "*/",
        "case ",
        "open func ",
        "public convenience init(",
        "public init(",
        "public static func ",
        "public var ",
    ];
    const MACHINERY: [&str; 9] = [
        "FfiConverter",
        "NoHandle",
        "Uniffi",
        "case .",
        "errorDescription",
        "init() {}",
        "noHandle",
        "pointer",
        "return",
    ];
    let mut surface = String::new();
    let mut ours = false;
    for line in swift.lines() {
        let text = line.trim().trim_end_matches(['{', ' ']);
        let machinery = MACHINERY.iter().any(|word| text.contains(word));
        if TYPES.iter().any(|start| line.starts_with(start)) {
            ours = !machinery;
            if ours {
                surface += &format!("\n{}\n", text.split(':').next().unwrap_or(text));
            }
        } else if line.starts_with("public func ") && !machinery && !text.contains("uniffi") {
            surface += &format!("\n{text}\n");
        } else if ours && !machinery && MEMBERS.iter().any(|start| text.starts_with(start)) {
            // An argument stands behind the end of its comment.
            let text = text
                .strip_prefix("*/")
                .map_or(text.to_owned(), |argument| format!("    {argument}"));
            let complete = !text.ends_with("init(") && !text.trim().is_empty();
            if complete {
                surface += &format!("    {text}\n");
            }
        }
    }
    surface
        .replace("  ->", " ->")
        .replace(")throws", ") throws")
        .trim_start()
        .to_owned()
}

/// Kind and name of everything that the sources export.
fn exports() -> Vec<(&'static str, String)> {
    let mut exports = Vec::new();
    let sources = [
        "accounts",
        "config",
        "error",
        "guard",
        "mod",
        "supervise",
        "values",
    ];
    for file in sources {
        let source = fs::read_to_string(path(&format!("flowgate-core/src/ffi/{file}.rs"))).unwrap();
        for line in source.lines().map(str::trim) {
            for (start, kind) in [
                ("pub fn ", "fn"),
                ("pub struct ", "type"),
                ("pub enum ", "type"),
            ] {
                if let Some(rest) = line.strip_prefix(start) {
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                    exports.push((kind, rest[..end.unwrap_or(rest.len())].to_owned()));
                }
            }
        }
    }
    exports
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_uppercase() + rest
    })
}

/// The Ruby that the page about all this shows, as a file.
fn block_of_the_page() -> PathBuf {
    let page = fs::read_to_string(path("docs/uniffi.md")).unwrap();
    let block = page.split("```ruby\n").nth(1).unwrap();
    let file = generated("ruby").join("page.rb");
    fs::write(&file, block.split("```").next().unwrap()).unwrap();
    file
}

/// The lines that an example says it prints.
fn expected(example: &Path, mark: &str) -> String {
    let text = fs::read_to_string(example).unwrap();
    let said = text.lines().filter_map(|line| line.split_once(mark));
    said.map(|(_, said)| format!("{said}\n")).collect()
}

fn path(relative: &str) -> PathBuf {
    Path::new(ROOT).join(relative)
}

/// The folder with the sources for a language, and the library beside them.
fn generated(language: &str) -> PathBuf {
    static GENERATED: OnceLock<PathBuf> = OnceLock::new();
    GENERATED.get_or_init(generate).join(language)
}

fn generate() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = temporary.parent().unwrap();
    let out = temporary.join("uniffi");
    let library = target
        .join("debug")
        .join(format!("{DLL_PREFIX}flowgate_core{DLL_SUFFIX}"));
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).arg("--quiet").arg("--target-dir");
        succeed(cargo.arg(target).current_dir(ROOT));
    };
    let core = ["--package", "flowgate-core", "--features", "uniffi"];
    cargo(&[&["rustc", "--lib", "--crate-type", "cdylib"], &core[..]].concat());
    let generator = ["--package", "flowgate-examples", "--features", "uniffi"];
    cargo(&[&["build", "--example", "uniffi-bindgen"], &generator[..]].concat());
    for language in ["kotlin", "python", "ruby", "swift"] {
        let folder = out.join(language);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        succeed(
            Command::new(target.join("debug/examples/uniffi-bindgen"))
                .args([
                    "generate",
                    "--no-format",
                    "--language",
                    language,
                    "--out-dir",
                ])
                .args([&folder, &library])
                .current_dir(ROOT),
        );
        fs::copy(&library, folder.join(library.file_name().unwrap())).unwrap();
    }
    out
}

/// Runs a program that may not be there; gives what it says.
fn found(command: &mut Command) -> Option<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().ok()?;
    let said = [stdout, stderr].concat();
    status
        .success()
        .then(|| String::from_utf8_lossy(&said).trim().to_owned())
}

fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}
