// Lines over time, as SVG, into an ignored folder: to look at, not to compare.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../pod.mjs";

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
const [WIDTH, HEIGHT, LEFT, TOP] = [900, 260, 60, 40];

/** One chart: `series` is {name: [[seconds, value], …]}. */
function chart(title, series, top) {
  const points = Object.values(series).flat();
  const [end, most] = [Math.max(1, ...points.map(([x]) => x)), Math.max(1, ...points.map(([, y]) => y))];
  const x = (seconds) => (LEFT + (seconds / end) * (WIDTH - LEFT - 20)).toFixed(1);
  const y = (value) => (top + HEIGHT - 30 - (value / most) * (HEIGHT - TOP - 40)).toFixed(1);
  const ticks = (count, last) => Array.from({ length: count + 1 }, (_, n) => (last * n) / count);
  const text = (at, words, more = "") => `<text x="${at[0]}" y="${at[1]}" ${more}>${words}</text>`;
  return [
    text([LEFT, top + 20], title, 'font-size="15"'),
    ...ticks(4, most).map((value) => `<path d="M${LEFT} ${y(value)}H${WIDTH - 20}" stroke="#ddd"/>` + text([LEFT - 6, y(value)], Math.round(value), 'text-anchor="end"')),
    ...ticks(10, end).map((seconds) => text([x(seconds), top + HEIGHT - 10], `${seconds.toFixed(0)} s`, 'text-anchor="middle"')),
    ...Object.entries(series).map(([name, line], index) => {
      const colour = COLOURS[index % COLOURS.length];
      const path = line.map(([seconds, value], n) => `${n ? "L" : "M"}${x(seconds)} ${y(value)}`).join("");
      return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>` + text([WIDTH - 130, top + 20 + 14 * index], name, `fill="${colour}"`);
    }),
  ].join("\n");
}

/** Writes charts, one below the other, and gives the file. */
export function plot(file, charts) {
  const all = Object.entries(charts).map(([title, series], index) => chart(title, series, index * HEIGHT));
  const folder = join(ROOT, "artifacts");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, file);
  const size = `width="${WIDTH}" height="${HEIGHT * all.length}"`;
  writeFileSync(path, `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11"><rect ${size} fill="white"/>\n${all.join("\n")}\n</svg>\n`);
  return path;
}
