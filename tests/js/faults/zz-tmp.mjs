import { writeFileSync } from "node:fs";
import { Scenario, check } from "./scenario.mjs";
import { startRedis } from "../redis.mjs";
import { startPath } from "./proxy.mjs";
import { redisCli } from "./redis-cli.mjs";
const s = new Scenario({ mode: "pubsub" });
try {
  const redis = s.keep(await startRedis());
  const path = s.keep(await startPath(redis.port));
  await s.startPods([redis.url, redis.url, `redis://127.0.0.1:${path.port}`]);
  await s.settle();
  const clients1 = await redisCli(redis.port, ["client", "list"]);
  path.refuse();
  await s.cutOff(s.pods.slice(-1));
  await path.mend();
  const o = await s.outcome();
  const clients2 = await redisCli(redis.port, ["client", "list"]);
  if (o.complaints.length) {
    const d = `/tmp/h4/bad.${process.pid}`;
    s.pods.forEach((p, k) => writeFileSync(`${d}.${k}`, p.logs.map((l) => JSON.stringify(l)).join("\n")));
    writeFileSync(`${d}.txt`, JSON.stringify(o, null, 1) + "\n" + clients1 + "\n\n" + clients2 + "\n" + s.ledger.doubled().join("\n")+ "\n" + s.ledger.missing(0).join("\n"));
    console.log("BAD", process.pid, o.complaints.map(c => c.slice(0,200)));
  } else console.log("ok", o.healed, o.reconnects);
} finally { await s.end(); }
