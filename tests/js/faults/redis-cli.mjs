// Runs `redis-cli` beside the load: the process that measures must not stand still meanwhile.

import { execFile } from "node:child_process";

/** What `redis-cli` printed for this command; empty if the server does not answer in time. */
export function redisCli(port, words) {
  return new Promise((resolve) => {
    const options = { encoding: "utf8", timeout: 5000 };
    const command = ["-p", String(port), ...words.map(String)];
    execFile("redis-cli", command, options, (_error, stdout) => resolve(stdout.trim()));
  });
}

/** Runs many commands, one a line, and gives the lines that it printed. */
export function redisCommands(port, lines) {
  return new Promise((resolve, reject) => {
    const child = execFile("redis-cli", ["-p", String(port)], { encoding: "utf8" }, (error, stdout) => {
      if (error) reject(error);
      else resolve(stdout.trim().split("\n"));
    });
    child.stdin.end(`${lines.join("\n")}\n`);
  });
}
