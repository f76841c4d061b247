//! Links release builds for Linux with glibc statically where that is possible without being asked.
//!
//! A run of this tool often takes about a millisecond, and a third of that went to the dynamic loader. The usual switch,
//! `-C target-feature=+crt-static`, would have to be passed by hand together with `--target`, because it fails for the
//! macros that the compiler loads. So the linker of the binary alone (not of tests, benches and macros) is told to link
//! statically, and finds static libraries where rustc names shared ones.
//!
//! It stays with a dynamic binary, without a word, where anything speaks against it: another target, no static glibc
//! (`glibc-static` on Fedora), a linker or its flags chosen by hand, or `SESSION_SWEEP_LINK=dynamic`.

#![allow(clippy::print_stdout, reason = "this is how a build script answers cargo")]
#![allow(clippy::disallowed_methods, reason = "it writes into cargo's own folder alone")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SESSION_SWEEP_LINK");
    if let Some(folder) = static_libraries() {
        println!("cargo::rustc-link-arg-bins=-static-pie");
        println!("cargo::rustc-link-arg-bins=-L{}", folder.display());
    }
}

/// A folder in which the names that rustc passes to the linker lead to static libraries, if that works here.
fn static_libraries() -> Option<PathBuf> {
    let target = env::var("TARGET").ok()?;
    let is_dynamic = env::var("SESSION_SWEEP_LINK").is_ok_and(|link| link == "dynamic");
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let has_own_linker = env::var_os("RUSTC_LINKER").is_some()
        || ["link", "crt-static", "relocation-model"].iter().any(|word| flags.contains(word));
    let is_release = env::var("PROFILE").ok()? == "release";
    let is_known = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"].contains(&target.as_str());
    if is_dynamic || has_own_linker || !is_release || !is_known || env::var("HOST").ok()? != target {
        return None;
    }
    let (libc, libm) = (file_of_compiler("libc.a")?, file_of_compiler("libm.a")?);
    let (unwinder, builtins) = (file_of_compiler("libgcc_eh.a")?, file_of_compiler("libgcc.a")?);
    let folder = PathBuf::from(env::var_os("OUT_DIR")?).join("static");
    fs::create_dir_all(&folder).ok()?;
    // Linker scripts under the names of the shared libraries, found before those because the folder is named first.
    let script = |name: &str, libraries: &[&Path]| {
        let names: Vec<String> = libraries.iter().map(|path| format!("\"{}\"", path.display())).collect();
        fs::write(folder.join(name), format!("GROUP ( {} )\n", names.join(" "))).ok()
    };
    script("libc.so", &[&libc, &unwinder, &builtins])?;
    script("libm.so", &[&libm])?;
    script("libgcc_s.so", &[&unwinder, &builtins])?;
    links(&folder).then_some(folder)
}

/// Where the C compiler, which rustc links with, has a file.
fn file_of_compiler(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).stderr(Stdio::null()).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // A file that it does not have is answered with the name alone.
    path.is_absolute().then_some(path)
}

/// Whether a small program links this way and runs.
fn links(folder: &Path) -> bool {
    let (source, program) = (folder.join("probe.c"), folder.join("probe"));
    let text = "#include <math.h>\nint main(int count, char **words) { return words[0] == 0 || sqrt(count) > 2; }\n";
    if fs::write(&source, text).is_err() {
        return false;
    }
    let mut link = Command::new("cc");
    link.args(["-static-pie", "-fPIE", "-nodefaultlibs"]).arg(&source).arg("-o").arg(&program);
    link.args(["-Wl,-Bdynamic", "-lgcc_s", "-lm", "-lc"]).arg(format!("-L{}", folder.display()));
    let quiet = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    quiet(&mut link) && quiet(&mut Command::new(&program))
}
