// Installs and builds the drivers that are not JavaScript, in .tools, where `make clean` finds them. What is installed is
// pinned: with hashes for Python and Java, by go.sum for Go, by Cargo.lock for Rust.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../pod.mjs";
import { startProgram } from "./driver.mjs";

const SOURCES = join(ROOT, "tests", "clients");
const TOOLS = join(ROOT, ".tools");

/** Runs `install` in a new folder, unless it has run since these files of the driver's changed. */
function once(language, files, install) {
  const folder = join(TOOLS, `client-${language}`);
  const source = (file) => join(SOURCES, language, file);
  const now = files.map((file) => readFileSync(source(file), "utf8")).join("\n");
  const stamp = join(folder, "installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === now) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  install(folder, source);
  writeFileSync(stamp, now);
  return folder;
}

function run(needed, command, args, options = {}) {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options });
  } catch (error) {
    throw new Error(`${needed} is needed (.ci/install says what to install): ${error.message}\n${error.stdout ?? ""}`);
  }
}

/** python-socketio, with `threads` or with `asyncio`. */
export const pythonClient = (kind) => () => {
  const folder = once("python", ["requirements.txt"], (target, source) => {
    const words = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", target, "-r", source("requirements.txt")];
    run("Python 3.10 or newer with pip", "python3", words);
  });
  return startProgram("python3", [join(SOURCES, "python", `${kind}_driver.py`)], {
    env: { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" },
  });
};

/** io.socket:socket.io-client, from jars whose hashes are compared. */
export function javaClient() {
  const folder = once("java", ["pom.xml", "jars.sha256", "Driver.java"], (target, source) => {
    const goal = ["dependency:copy-dependencies", `-DoutputDirectory=${target}`, "-DincludeScope=runtime"];
    run("Maven 3.8 or newer", "mvn", ["-q", "-B", "-f", source("pom.xml"), ...goal]);
    run("sha256sum", "sha256sum", ["--check", "--strict", source("jars.sha256")], { cwd: target });
    run("a JDK, 11 or newer,", "javac", ["-cp", `${target}/*`, "-d", target, source("Driver.java")]);
  });
  return startProgram("java", ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", `${folder}:${folder}/*`, "Driver"]);
}

/** github.com/zishang520/socket.io. */
export function goClient() {
  const folder = once("go", ["main.go", "go.mod", "go.sum"], (target) => {
    run("Go 1.26 or newer", "go", ["build", "-mod=readonly", "-buildvcs=false", "-o", join(target, "driver"), "."], { cwd: join(SOURCES, "go") });
  });
  return startProgram(join(folder, "driver"), []);
}

/** rust_socketio. */
export function rustClient() {
  const folder = once("rust", ["src/main.rs", "Cargo.toml", "Cargo.lock"], (target) => {
    const words = ["build", "--quiet", "--locked", "--target-dir", join(target, "target")];
    run("Rust, and OpenSSL's headers,", "cargo", words, { cwd: join(SOURCES, "rust"), env: { ...process.env, RUSTFLAGS: "" } });
  });
  return startProgram(join(folder, "target", "debug", "rust-socketio-driver"), []);
}
