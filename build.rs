//! What is known when it is built: the commit and the date for `roomcast --version`, and the stock client that is served.
//!
//! An image build has no `.git`: there `VERGEN_GIT_SHA` and `SOURCE_DATE_EPOCH` say it.
//!
//! The client is the npm package `socket.io-client`, of the version in `src/demo/package.json`: that of the folder
//! `ROOMCAST_CLIENT_PACKAGE`, or what `npm ci` has put in `src/demo`, or what it puts in the folder of the build. Without
//! all of them, and with an empty `ROOMCAST_CLIENT_PACKAGE`, there is none, and the pod says so to who asks.

use std::{
    env,
    error::Error,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use vergen_gitcl::{BuildBuilder, Emitter, GitclBuilder};

/// The files that Node's server serves (`CLIENT_FILES` of the `socket.io` package), and their maps.
const FILES: [&str; 4] =
    ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];
/// Of brotli. The build script is not optimized, and higher ones take it tens of seconds.
const QUALITY: i32 = 5;
const PACKAGE: &str = "ROOMCAST_CLIENT_PACKAGE";

fn main() -> Result<(), Box<dyn Error>> {
    Emitter::default()
        .add_instructions(&BuildBuilder::default().build_date(true).build()?)?
        .add_instructions(&GitclBuilder::default().sha(true).build()?)?
        .emit()?;
    client_files()
}

/// Writes `client_files.rs`: the version of the client, and its files in each encoding.
fn client_files() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-env-changed={PACKAGE}");
    println!("cargo:rerun-if-changed=src/demo/package-lock.json");
    let package = package(&out)?;
    let (mut version, mut files) = (String::new(), String::new());
    if let Some(package) = package {
        let manifest = read(&package.join("package.json"))?;
        version = field(&manifest, "version").ok_or("package.json names no version")?;
        for file in FILES.iter().flat_map(|file| [(*file).to_owned(), format!("{file}.map")]) {
            files += &encoded(&package.join("dist").join(&file), &file, &out)?;
        }
    }
    let code = format!("const VERSION: &str = {version:?};\nstatic FILES: &[File] = &[{files}];\n");
    Ok(fs::write(out.join("client_files.rs"), code)?)
}

/// The folder of the package.
fn package(out: &Path) -> Result<Option<PathBuf>, Box<dyn Error>> {
    if let Some(named) = env::var_os(PACKAGE) {
        return Ok(Some(PathBuf::from(named)).filter(|named| !named.as_os_str().is_empty()));
    }
    let demo = Path::new("src/demo");
    let wanted = field(&fs::read_to_string(demo.join("package.json"))?, "socket.io-client");
    let installed = |folder: &Path| {
        let package = folder.join("node_modules/socket.io-client");
        let manifest = fs::read_to_string(package.join("package.json")).ok()?;
        (field(&manifest, "version") == wanted).then_some(package)
    };
    if let Some(package) = installed(demo) {
        return Ok(Some(package));
    }
    let own = out.join("client");
    if let Some(package) = installed(&own) {
        return Ok(Some(package));
    }
    let why = match npm_ci(demo, &own) {
        Ok(()) if let Some(package) = installed(&own) => return Ok(Some(package)),
        Ok(()) => "npm has installed another version".to_owned(),
        Err(why) => why.to_string(),
    };
    println!(
        "cargo:warning=the Socket.IO client is not built in, so public.serve_client has nothing to serve: {why}. \
         `npm ci --prefix src/demo` installs it, or {PACKAGE} names the folder of socket.io-client"
    );
    // What somebody installs there is to be found.
    println!("cargo:rerun-if-changed=src/demo");
    Ok(None)
}

/// Installs what the lock file names, by its hashes, outside of the sources.
fn npm_ci(demo: &Path, into: &Path) -> Result<(), Box<dyn Error>> {
    let set = |name: &str| env::var(name).is_ok_and(|value| !["", "0", "false"].contains(&&*value));
    if set("DOCS_RS") || set("CARGO_NET_OFFLINE") {
        return Err("the build is to be offline".into());
    }
    fs::create_dir_all(into)?;
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(demo.join(file), into.join(file))?;
    }
    let flags = [
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
        "--loglevel=error",
    ];
    let npm = Command::new("npm")
        .args(flags)
        .args(["--fetch-retries=1", "--fetch-timeout=30000"])
        .current_dir(into)
        .output()
        .map_err(|error| format!("npm does not run ({error})"))?;
    if npm.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&npm.stderr);
    Err(format!("npm fails ({})", said.lines().next().unwrap_or_default()).into())
}

/// The entry of a file in the table, and beside it what it names.
fn encoded(file: &Path, name: &str, out: &Path) -> Result<String, Box<dyn Error>> {
    let plain = read(file)?.into_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&plain)?;
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(&plain)?;
    let mut br = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: QUALITY, ..Default::default() };
    brotli::BrotliCompress(&mut &plain[..], &mut br, &params)?;
    let mut entry = format!("File {{ name: {name:?}");
    for (encoding, bytes) in
        [("plain", plain), ("br", br), ("gzip", gzip.finish()?), ("deflate", deflate.finish()?)]
    {
        let path = out.join(format!("{name}.{encoding}"));
        fs::write(&path, bytes)?;
        entry += &format!(", {encoding}: include_bytes!({:?})", path.display().to_string());
    }
    Ok(entry + " }, ")
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// A field of a manifest, as npm writes it: one a line.
fn field(manifest: &str, name: &str) -> Option<String> {
    let (_, rest) = manifest.split_once(&format!("\"{name}\": \""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}
