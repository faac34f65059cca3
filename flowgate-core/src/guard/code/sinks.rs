//! The calls that matter, by language.

use super::super::format::Language;

/// What a call does with its arguments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sink {
    /// Evaluates a string in the same language.
    Code,
    /// Runs a command: one string for a shell, or words.
    Command,
    /// Deletes a file.
    DeleteFile,
    /// Deletes a directory tree.
    DeleteTree,
    /// Deletes a tree if an argument says `recursive`, else a file.
    DeleteMaybeTree,
    /// Moves the first path.
    Move,
    /// Sends SQL to a database.
    Sql,
    /// Truncates the file of the first argument.
    Write,
    /// Truncates it if the second argument is a mode with `w`.
    WriteMode,
}

/// What a call does; `name` is dotted and resolved, `last` is its last part.
pub(crate) fn sink(language: Language, name: &str, last: &str) -> Option<Sink> {
    use Language::{Awk, Javascript, Lua, Other, Perl, Php, Python, Ruby};
    let found = match language {
        Python => python(name, last),
        Javascript => javascript(name, last),
        Ruby => ruby(name, last),
        Perl => perl(last),
        Php => php(last),
        Lua => match name {
            "os.execute" | "io.popen" => Some(Sink::Command),
            "os.remove" => Some(Sink::DeleteFile),
            "os.rename" => Some(Sink::Move),
            _ => None,
        },
        Other => other(name, last),
        Awk => (name == "system").then_some(Sink::Command),
        _ => None,
    };
    found.or(match last {
        "execute" | "executescript" | "executemany" | "query" | "raw" | "exec_driver_sql"
        | "executeRaw" | "$executeRaw" | "$executeRawUnsafe" | "$queryRawUnsafe" | "exec_query"
        | "execute_sql" | "selectall_arrayref" | "mysqli_query" | "pg_query" | "unsafe" => {
            Some(Sink::Sql)
        }
        "do" if language == Perl && name != "do" => Some(Sink::Sql),
        "exec" if name.contains('.') && matches!(language, Php | Javascript | Ruby) => {
            Some(Sink::Sql)
        }
        _ => None,
    })
}

fn python(name: &str, last: &str) -> Option<Sink> {
    let module = name
        .strip_suffix(last)
        .unwrap_or_default()
        .trim_end_matches('.');
    Some(match last {
        "rmtree" | "remove_tree" => Sink::DeleteTree,
        "removedirs" => Sink::DeleteTree,
        "remove" | "unlink"
            if matches!(module, "os" | "posix" | "pathlib.Path" | "path" | "nt")
                || last == "unlink" =>
        {
            Sink::DeleteFile
        }
        "rmdir" if module != "os" => Sink::DeleteFile,
        "system" | "popen" if matches!(module, "os" | "posix" | "" | "commands" | "subprocess") => {
            Sink::Command
        }
        "getoutput" | "getstatusoutput" | "run" | "call" | "check_call" | "check_output"
        | "Popen"
            if matches!(module, "subprocess" | "commands" | "")
                || last != "run" && last != "call" =>
        {
            Sink::Command
        }
        "create_subprocess_shell"
        | "create_subprocess_exec"
        | "execv"
        | "execve"
        | "execvp"
        | "execvpe"
        | "execl"
        | "execlp"
        | "execle"
        | "spawnl"
        | "spawnlp"
        | "spawnv"
        | "spawnvp"
        | "posix_spawn" => Sink::Command,
        "sh" | "local" if matches!(module, "fabric" | "invoke" | "plumbum") => Sink::Command,
        "spawn" if matches!(module, "pexpect" | "pty") => Sink::Command,
        "exec" | "eval" if module.is_empty() => Sink::Code,
        "truncate" if module == "os" => Sink::Write,
        "open" if matches!(module, "" | "io" | "codecs" | "builtins") => Sink::WriteMode,
        "write_text" | "write_bytes" => Sink::Write,
        "rename" | "replace" | "renames" if module == "os" => Sink::Move,
        "move" if module == "shutil" => Sink::Move,
        _ => return None,
    })
}

fn javascript(name: &str, last: &str) -> Option<Sink> {
    Some(match last {
        "rmSync" | "rm" if name != "rm" || last == "rmSync" => Sink::DeleteMaybeTree,
        "rimraf" | "rimrafSync" | "removeSync" | "emptyDirSync" | "emptyDir" | "del"
        | "deleteSync" | "deleteAsync" => Sink::DeleteTree,
        "sync" if name.contains("rimraf") || name.starts_with("del.") => Sink::DeleteTree,
        "remove" if name.starts_with("fs") || name.starts_with("Deno") => Sink::DeleteMaybeTree,
        "removeDir" => Sink::DeleteTree,
        "rmdirSync" | "rmdir" => Sink::DeleteMaybeTree,
        "unlinkSync" | "unlink" => Sink::DeleteFile,
        "execSync" | "execFileSync" | "spawnSync" | "execFile" | "execa" | "execaSync"
        | "execaCommand" | "execaCommandSync" | "spawn" | "execCommand" | "$" | "system" => {
            Sink::Command
        }
        "exec"
            if matches!(
                name,
                "exec"
                    | "child_process.exec"
                    | "cp.exec"
                    | "shell.exec"
                    | "shelljs.exec"
                    | "childProcess.exec"
                    | ".exec"
            ) =>
        {
            Sink::Command
        }
        "Command" if name.starts_with("Deno") => Sink::Command,
        "run" if matches!(name, "Deno.run") => Sink::Command,
        "eval" | "Function" if name == last => Sink::Code,
        "writeFileSync" | "writeFile" | "truncateSync" | "truncate" | "createWriteStream"
        | "outputFileSync" => Sink::Write,
        "renameSync" | "rename" | "moveSync" => Sink::Move,
        _ => return None,
    })
}

fn ruby(name: &str, last: &str) -> Option<Sink> {
    Some(match last {
        "rm_rf"
        | "rm_r"
        | "remove_dir"
        | "remove_entry"
        | "remove_entry_secure"
        | "rmtree"
        | "remove_rf"
        | "rm_tree" => Sink::DeleteTree,
        "rm" | "rm_f" | "remove" | "safe_unlink" if name.contains('.') => Sink::DeleteFile,
        "delete" | "unlink"
            if name.starts_with("File.")
                || name.starts_with("Dir.")
                || name.starts_with("Pathname.") =>
        {
            Sink::DeleteFile
        }
        "system" | "exec" | "spawn"
            if name == last || name.starts_with("Kernel.") || name.starts_with("Process.") =>
        {
            Sink::Command
        }
        "popen" | "popen2" | "popen3" | "popen2e" | "capture2" | "capture2e" | "capture3"
        | "pipeline" | "sh" => Sink::Command,
        "eval" | "instance_eval" | "class_eval" => Sink::Code,
        "mv" | "move" if name.contains('.') => Sink::Move,
        "write" | "binwrite" | "truncate"
            if name.starts_with("File.") || name.starts_with("IO.") =>
        {
            Sink::Write
        }
        "open" | "new" if name.starts_with("File.") => Sink::WriteMode,
        _ => return None,
    })
}

/// Go, R, Julia, Elixir, Groovy.
fn other(name: &str, last: &str) -> Option<Sink> {
    Some(match last {
        "system" | "system2" | "shell" | "cmd" | "run" | "Command" | "CommandContext"
        | "execute" | "spawn" | "pipeline" | "exec" => Sink::Command,
        "RemoveAll" | "rm_rf" | "rm_rf!" | "deleteDir" | "deleteDirectory" | "removeItem" => {
            Sink::DeleteTree
        }
        "unlink" | "rm" => Sink::DeleteMaybeTree,
        "Remove" | "rm!" if name != last => Sink::DeleteFile,
        "remove" if name == "file.remove" => Sink::DeleteFile,
        "WriteFile" | "Truncate" | "write!" if name != last => Sink::Write,
        _ => return None,
    })
}

fn perl(last: &str) -> Option<Sink> {
    Some(match last {
        "system" | "exec" | "run" | "capture" | "capturex" | "systemx" => Sink::Command,
        "unlink" => Sink::DeleteFile,
        "rmtree" | "remove_tree" | "pathrmdir" => Sink::DeleteTree,
        "eval" => Sink::Code,
        "rename" | "move" => Sink::Move,
        "truncate" => Sink::Write,
        _ => return None,
    })
}

fn php(last: &str) -> Option<Sink> {
    Some(match last {
        "system" | "exec" | "shell_exec" | "passthru" | "popen" | "proc_open" | "pcntl_exec" => {
            Sink::Command
        }
        "unlink" | "rmdir" => Sink::DeleteFile,
        "deleteDirectory" | "cleanDirectory" | "deleteDir" => Sink::DeleteTree,
        "eval" | "assert" => Sink::Code,
        "rename" => Sink::Move,
        "file_put_contents" | "ftruncate" => Sink::Write,
        "fopen" => Sink::WriteMode,
        _ => return None,
    })
}
