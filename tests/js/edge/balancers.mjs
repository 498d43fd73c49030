// Starts real load balancers before pods, round robin and without affinity, and stops what it started.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "../pod.mjs";
import { freePort } from "../redis.mjs";

/** Pods are taken out and in by `/readyz`, as a Service of Kubernetes does; one that answers late on a busy machine stays in. */
const haproxy = (port, pods, { cookie, proxyProtocol, forwardedFor }) => `
global
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout check 5s
  timeout client 90s
  timeout server 90s
  timeout tunnel 1h
frontend clients
  bind 127.0.0.1:${port}
  default_backend pods
backend pods
  balance roundrobin
  retries 3
  retry-on conn-failure
  option redispatch 1
  ${forwardedFor ? "option forwardfor" : ""}
  option httpchk GET /readyz
  default-server inter 100ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down
  ${cookie ? `stick-table type string len 64 size 10k expire 10m\n  stick store-response res.cook(${cookie})\n  stick match req.cook(${cookie})` : ""}
${pods.map((pod, index) => `  server pod${index} 127.0.0.1:${pod.port} check port ${new URL(pod.internal).port}${proxyProtocol ? " send-proxy-v2" : ""}`).join("\n")}
`;

const nginx = (port, pods, { folder }) => `
worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 8000; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream pods {
${pods.map((pod) => `    server 127.0.0.1:${pod.port} max_fails=0;`).join("\n")}
  }
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://pods;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_read_timeout 90s;
    }
  }
}
`;

const PROGRAMS = {
  haproxy: { command: (file) => ["haproxy", "-db", "-f", file], text: haproxy },
  nginx: { command: (file, folder) => ["nginx", "-p", folder, "-c", file], text: nginx },
};

export const BALANCERS = Object.keys(PROGRAMS);

/** Starts a balancer before these pods. */
export async function startBalancer(name, pods, options = {}) {
  const { command, text } = PROGRAMS[name];
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), `roomcast-${name}-`));
  const file = join(folder, "balancer.conf");
  writeFileSync(file, text(port, pods, { ...options, folder }));
  const [program, ...args] = command(file, folder);
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
  await until(`${name} listens`, async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    const open = once(socket, "connect").then(
      () => true,
      () => false,
    );
    return (await open) && socket.destroy();
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      const exit = once(child, "exit");
      child.kill("SIGTERM");
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
