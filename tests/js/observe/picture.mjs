// The panels of the dashboard as SVG, and as PNG where there is a Chromium, into an ignored folder: to look at, not to compare.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { ROOT } from "../pod.mjs";

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999933", "#882255", "#44aa99", "#555555"];
const [ACROSS, WIDTH, HEIGHT] = [3, 480, 230];
const [LEFT, RIGHT, TOP, BOTTOM] = [58, 12, 30, 62];
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const short = (number) => new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(number);
const SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
function label(number, unit) {
  if (unit === "percentunit") return `${short(100 * number)} %`;
  if (unit === "bytes" || unit === "Bps") return `${short(number)}B`;
  if (unit !== "s" || number === 0) return short(number);
  const [size, name] = SECONDS.find(([size]) => number >= size) ?? SECONDS.at(-1);
  return `${short(number / size)} ${name}`;
}
/** A legend of Grafana with the labels of a series. */
const named = (legend, metric) => legend.replace(/\{\{(\w+)\}\}/g, (_, name) => metric[name] ?? "").trim();

function chart({ title, fieldConfig }, lines, [left, top], [start, end]) {
  const unit = fieldConfig.defaults.unit;
  const most = Math.max(0, ...lines.flatMap(({ values }) => values.map(([, value]) => (Number.isFinite(value) ? value : 0)))) || 1;
  const x = (at) => (LEFT + ((at - start) / (end - start)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value) => (HEIGHT - BOTTOM - (value / most) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const text = (x, y, words, more = "") => `<text x="${x}" y="${y}" ${more}>${escaped(words)}</text>`;
  const ticks = [0, 0.5, 1].map((share) => {
    const height = y(share * most);
    return `<path d="M${LEFT} ${height}H${WIDTH - RIGHT}" stroke="#ddd"/>${text(LEFT - 5, height, label(share * most, unit), 'text-anchor="end"')}`;
  });
  const times = [0, 0.5, 1].map((share) => text(x(start + share * (end - start)), HEIGHT - BOTTOM + 13, `${Math.round(share * (end - start))} s`, 'text-anchor="middle" fill="#777"'));
  // Those that are always 0 say nothing in the legend.
  const loud = lines.map((line, index) => ({ ...line, colour: COLOURS[index % COLOURS.length], peak: Math.max(0, ...line.values.map(([, value]) => value || 0)) }));
  const legend = loud.sort((a, b) => b.peak - a.peak).slice(0, 6);
  return `<g transform="translate(${left} ${top})"><rect x="2" y="2" width="${WIDTH - 4}" height="${HEIGHT - 4}" fill="white" stroke="#ccc" rx="4"/>${[
    text(10, 19, title, 'font-size="13" font-weight="bold"'),
    ...ticks,
    ...times,
    ...loud.map(({ values, colour }) => {
      const path = values.map(([at, value], n) => (Number.isFinite(value) ? `${n && Number.isFinite(values[n - 1][1]) ? "L" : "M"}${x(at)} ${y(value)}` : "")).join("");
      return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.3"/>`;
    }),
    ...legend.map(({ name, colour }, index) => text(10 + (index % 2) * (WIDTH / 2 - 5), HEIGHT - BOTTOM + 28 + 12 * Math.floor(index / 2), (name || title).slice(0, 38), `fill="${colour}" font-size="10"`)),
  ].join("\n")}</g>`;
}

/** Draws panels; `ask` gives the series of an expression over time. It says where the picture is. */
export async function picture(name, panels, ask) {
  const drawn = await Promise.all(
    panels.map(async (panel) => {
      const series = await Promise.all(panel.targets.map(async ({ expr, legendFormat }) => (await ask(expr)).map(({ metric, values }) => ({ name: named(legendFormat, metric), values }))));
      return { panel, lines: series.flat() };
    }),
  );
  const times = drawn.flatMap(({ lines }) => lines.flatMap(({ values }) => values.map(([at]) => at)));
  const [start, end] = times.reduce(([least, most], at) => [Math.min(least, at), Math.max(most, at)], [Infinity, -Infinity]);
  const place = (index) => [(index % ACROSS) * WIDTH, Math.floor(index / ACROSS) * HEIGHT];
  const charts = drawn.map(({ panel, lines }, index) => chart(panel, lines, place(index), [start, end]));
  const [width, height] = [ACROSS * WIDTH, Math.ceil(drawn.length / ACROSS) * HEIGHT];
  const size = `width="${width}" height="${height}"`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11"><rect ${size} fill="#f4f5f5"/>\n${charts.join("\n")}\n</svg>\n`;
  const folder = join(ROOT, "artifacts");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.svg`);
  writeFileSync(file, svg);
  if (!existsSync(CHROMIUM)) return file;
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"] });
  try {
    const page = await browser.newPage({ viewport: { width, height } });
    await page.setContent(`<body style="margin:0">${svg}</body>`);
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
    return join(folder, `${name}.png`);
  } finally {
    await browser.close();
  }
}
