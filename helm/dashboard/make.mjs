// Makes the dashboard for Grafana of the rows of panels: `node helm/dashboard/make.mjs > helm/roomcast/dashboards/roomcast.json`,
// which is `make dashboard`. The JSON is Grafana's classic model, which its provisioning takes in every version.

import { pathToFileURL } from "node:url";

import { ROWS } from "./rows.mjs";

const DATASOURCE = { type: "prometheus", uid: "${datasource}" };
/** In the place of `$pods`. Outside of Kubernetes there is no `namespace` and no `pod`: `.*` also matches what is not there. */
const PODS = 'namespace=~"$namespace",pod=~"$pod",instance=~"$instance"';
const COLUMNS = 24;
const HEIGHTS = { stat: 4, timeseries: 8, bargauge: 8, table: 8 };

const FIELDS = {
  stat: { color: { mode: "thresholds" } },
  timeseries: {
    color: { mode: "palette-classic" },
    custom: { lineWidth: 1, fillOpacity: 10, showPoints: "never", spanNulls: false },
  },
  bargauge: { color: { mode: "thresholds" }, min: 0, max: 1 },
  table: {},
};
const OPTIONS = {
  stat: { colorMode: "value", graphMode: "area", reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false } },
  timeseries: {
    legend: { displayMode: "table", placement: "bottom", showLegend: true, calcs: ["lastNotNull", "max"] },
    tooltip: { mode: "multi", sort: "desc" },
  },
  bargauge: { orientation: "horizontal", displayMode: "basic", reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false } },
  table: { showHeader: true },
};

/** Green up to each bound, then the colour that is said. */
const thresholds = (steps = []) => ({
  mode: "absolute",
  steps: [{ color: "green", value: null }, ...steps.map(([value, color]) => ({ value, color }))],
});

/** One panel: `queries` are pairs of an expression and a legend. */
function panel(id, { title, means, unit, kind = "timeseries", stack = false, bad, queries }, gridPos) {
  const defaults = { ...FIELDS[kind], unit, thresholds: thresholds(bad) };
  if (stack) defaults.custom = { ...defaults.custom, fillOpacity: 30, stacking: { mode: "normal", group: "A" } };
  const instant = kind === "table" || kind === "bargauge";
  return {
    id,
    type: kind,
    title,
    description: means,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: { defaults, overrides: [] },
    options: OPTIONS[kind],
    targets: queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: DATASOURCE,
      expr: expr.replaceAll("$pods", PODS),
      legendFormat,
      ...(instant ? { instant: true, range: false } : { range: true }),
      ...(kind === "table" ? { format: "table" } : {}),
    })),
  };
}

/** A variable of values of a label, of which all are chosen at first. */
const variable = (name, label, query, description) => ({
  name,
  label,
  description,
  type: "query",
  datasource: DATASOURCE,
  query: { query, refId: name },
  definition: query,
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: ".*",
  current: { selected: true, text: ["All"], value: ["$__all"] },
});

/** The dashboard. */
export function dashboard() {
  const panels = [];
  let [id, y] = [1, 0];
  for (const { title, panels: row } of ROWS) {
    panels.push({ id: id++, type: "row", title, collapsed: false, gridPos: { x: 0, y: y++, w: COLUMNS, h: 1 }, panels: [] });
    let [x, h] = [0, 0];
    for (const one of row) {
      const w = one.wide ?? (one.kind === "stat" ? 3 : 8);
      if (x + w > COLUMNS) [x, y] = [0, y + h];
      h = HEIGHTS[one.kind ?? "timeseries"];
      panels.push(panel(id++, one, { x, y, w, h }));
      x += w;
    }
    y += h;
  }
  return {
    uid: "roomcast",
    title: "Roomcast",
    description: "Clients, emits, what is dropped, drains, Redis, pods. Kept in helm/dashboard; docs/observability.md says how.",
    tags: ["roomcast", "socket.io"],
    schemaVersion: 41,
    editable: true,
    graphTooltip: 1,
    time: { from: "now-1h", to: "now" },
    refresh: "30s",
    timezone: "browser",
    templating: {
      list: [
        { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", regex: "", current: {}, multi: false, includeAll: false },
        variable("namespace", "namespace", "label_values(roomcast_build_info, namespace)", "Of Kubernetes; outside of it there is none."),
        variable("pod", "pod", 'label_values(roomcast_build_info{namespace=~"$namespace"}, pod)', "Of Kubernetes; outside of it there is none."),
        variable("instance", "instance", 'label_values(roomcast_build_info{namespace=~"$namespace",pod=~"$pod"}, instance)', "Where Prometheus scrapes the pod."),
      ],
    },
    annotations: {
      list: [
        {
          name: "Alerts",
          datasource: DATASOURCE,
          enable: true,
          iconColor: "red",
          expr: 'ALERTS{alertname=~"Roomcast.+",alertstate="firing"}',
          titleFormat: "{{alertname}}",
          textFormat: "{{pod}} {{instance}}",
        },
      ],
    },
    links: [],
    panels,
  };
}

/** The file. */
export const text = () => `${JSON.stringify(dashboard(), null, 2)}\n`;

if (import.meta.url === pathToFileURL(process.argv[1]).href) process.stdout.write(text());
