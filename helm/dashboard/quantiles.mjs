// Expressions that several panels have.

/** How a pod is called: outside of Kubernetes, by its address alone. */
export const POD = "{{pod}} {{instance}}";

/** A quantile of a histogram, by labels. */
export const quantile = (q, metric, { by = [], where = "" } = {}) =>
  `histogram_quantile(${q}, sum by (${["le", ...by].join(", ")}) (rate(${metric}_bucket{$pods${where && `,${where}`}}[$__rate_interval])))`;

/** Several quantiles of a histogram, with their legends. */
export const quantiles = (qs, metric, options = {}) =>
  qs.map((q) => [quantile(q, metric, options), [`p${q * 100}`, ...(options.by ?? []).map((label) => `{{${label}}}`)].join(" ")]);

/** How fast a counter rises, by labels. */
export const rate = (metric, { by = [], where = "" } = {}) => [
  `sum by (${by.join(", ")}) (rate(${metric}{$pods${where && `,${where}`}}[$__rate_interval]))`,
  by.map((label) => `{{${label}}}`).join(" "),
];

/** A gauge, added up by labels. */
export const sum = (metric, { by = [], where = "" } = {}) => [
  `sum by (${by.join(", ")}) (${metric}{$pods${where && `,${where}`}})`,
  by.map((label) => `{{${label}}}`).join(" "),
];

/** What Roomcast's pods alone have of a metric that every process has. */
export const ours = (expression) => `(${expression}) and on (job, instance) roomcast_build_info`;
