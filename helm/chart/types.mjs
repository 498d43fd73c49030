// What the values of the chart may be: the types of values.yaml, which says what they mean and their defaults. JSON Schema of
// draft 7, as Helm reads it.

const text = { type: "string" };
const name = { type: "string", maxLength: 253, pattern: "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$" };
const flag = { type: "boolean" };
const integer = (minimum = 0, maximum) => ({ type: "integer", minimum, ...(maximum ? { maximum } : {}) });
const port = integer(1, 65535);
const orNull = (schema) => ({ ...schema, type: [].concat(schema.type, "null") });
const one = (...values) => ({ enum: values });
const list = (items) => ({ type: "array", items });
/** Exactly these keys. */
const object = (properties, required) => ({
  type: "object",
  additionalProperties: false,
  properties,
  ...(required ? { required } : {}),
});
/** Keys that the user chooses. */
const each = (values) => ({ type: "object", additionalProperties: values });
/** A part of an object of Kubernetes, which the API server checks. */
const part = { type: "object" };
const parts = list(part);
const named = list({ type: "object", required: ["name"], properties: { name: { type: "string", minLength: 1 } } });

const labels = each({ type: "string", maxLength: 63 });
const annotations = each(text);
const secret = object({ name, key: { type: "string", minLength: 1 } });
const share = { oneOf: [integer(0), { type: "string", pattern: "^[0-9]+%$" }] };
const ipFamilies = { ipFamilyPolicy: one("", "SingleStack", "PreferDualStack", "RequireDualStack"), ipFamilies: list(one("IPv4", "IPv6")) };
const monitor = object({
  enabled: flag,
  interval: { type: "string", pattern: "^([0-9]+(ms|[smh]))*$" },
  scrapeTimeout: { type: "string", pattern: "^([0-9]+(ms|[smh]))*$" },
  labels,
  annotations,
  relabelings: parts,
  metricRelabelings: parts,
});
const peers = (ports) => object({ to: parts, ports: list(port) });

/** The schema of the values; `config` is that of Roomcast's settings. */
export const values = (config) =>
  object({
    replicas: integer(0),
    image: object(
      {
        repository: { type: "string", minLength: 1, pattern: "^[^:@\\s]+(:[0-9]+/[^:@\\s]+)?$" },
        tag: { type: "string", pattern: "^[\\w.-]*$" },
        digest: { type: "string", pattern: "^(sha256:[0-9a-f]{64})?$" },
        pullPolicy: one("Always", "IfNotPresent", "Never"),
        pullSecrets: named,
      },
      ["repository"],
    ),
    config,
    secrets: object(
      Object.fromEntries(
        [
          ...["apiKeys", "jwtSecret", "jwtPublicKey", "jwksCa", "sessionSecret", "hookSecrets", "hookCa"],
          ...["backplaneUrl", "backplanePassword", "backplaneCa", "backplaneCert", "backplaneKey"],
        ].map((key) => [key, secret]),
      ),
    ),
    drain: object({
      rolloutWaitSeconds: integer(0),
      delaySeconds: integer(0),
      windowSeconds: integer(0),
      timeoutSeconds: integer(1),
      marginSeconds: integer(1),
    }),
    terminationGracePeriodSeconds: orNull(integer(1)),
    strategy: object({ type: one("RollingUpdate", "Recreate"), rollingUpdate: orNull(object({ maxSurge: share, maxUnavailable: share })) }),
    minReadySeconds: integer(0),
    progressDeadlineSeconds: orNull(integer(1)),
    revisionHistoryLimit: integer(0),
    podDisruptionBudget: object({ enabled: flag, maxUnavailable: share, unhealthyPodEvictionPolicy: one("AlwaysAllow", "IfHealthyBudget") }),
    publicService: object({
      type: one("ClusterIP", "NodePort", "LoadBalancer"),
      port,
      nodePort: orNull(port),
      appProtocol: text,
      ...ipFamilies,
      loadBalancerClass: text,
      loadBalancerSourceRanges: list(text),
      externalTrafficPolicy: one("", "Cluster", "Local"),
      sessionAffinity: one("None", "ClientIP"),
      annotations,
      labels,
    }),
    internalService: object({ port, ...ipFamilies, annotations, labels }),
    headlessService: object({ annotations, labels }),
    autoscaling: object({
      kind: one("none", "external", "keda", "adapter"),
      minReplicas: integer(1),
      maxReplicas: integer(1),
      connectionsPerPod: integer(1),
      behavior: object({ scaleUp: part, scaleDown: part }),
      metrics: list({ type: "object", required: ["type"] }),
      annotations,
      external: object({
        port: integer(1025, 65535),
        certificate: object({
          secretName: name,
          ca: { type: "string", pattern: "^(\\s*-----BEGIN CERTIFICATE-----[\\s\\S]*)?$" },
          certManager: object({ enabled: flag, issuerRef: object({ name: text, kind: text, group: text }), duration: text }),
        }),
      }),
      keda: object({
        trigger: one("metrics-api", "prometheus"),
        pollingInterval: integer(1),
        fallback: object({ failureThreshold: integer(0), replicas: integer(0), behavior: text }),
        prometheus: object({ serverAddress: text, query: text, authenticationRef: object({ name: text, kind: text }) }),
        triggers: list({ type: "object", required: ["type"] }),
      }),
    }),
    kubernetes: object({ enabled: flag, deletionCost: flag, events: flag, peers: flag }),
    rbac: object({ create: flag }),
    serviceAccount: object({ create: flag, name, annotations }),
    ingresses: each(
      object(
        {
          controller: one("", "nginx", "ingress-nginx", "haproxy", "traefik", "alb", "gke"),
          className: text,
          hosts: list({ type: "string", minLength: 1 }),
          path: { type: "string", pattern: "^/" },
          pathType: one("Prefix", "Exact", "ImplementationSpecific"),
          tls: list(object({ secretName: text, hosts: list(text) })),
          affinity: flag,
          annotations,
          labels,
        },
        ["hosts"],
      ),
    ),
    httpRoutes: each(
      object(
        {
          controller: one("", "gke"),
          parentRefs: { type: "array", minItems: 1, items: { type: "object", required: ["name"] } },
          hostnames: list(text),
          path: { type: "string", pattern: "^/" },
          filters: parts,
          annotations,
          labels,
        },
        ["parentRefs"],
      ),
    ),
    networkPolicy: object({
      enabled: flag,
      public: parts,
      internal: parts,
      redis: peers(),
      dns: object({ to: parts }),
      apiServer: object({ cidrs: list(text), ports: list(port) }),
      collector: peers(),
      egress: parts,
      ingress: parts,
    }),
    telemetry: object({
      otlp: object({
        endpoint: { type: "string", pattern: "^(https?://.*)?$" },
        protocol: one("http/protobuf", "http/json", "grpc"),
        ratio: { type: ["number", "null"], minimum: 0, maximum: 1 },
      }),
    }),
    metrics: object({
      podMonitor: monitor,
      serviceMonitor: monitor,
      prometheusRule: object({ enabled: flag, labels, annotations, disabled: list(text), runbookPrefix: text }),
      dashboard: object({ enabled: flag, namespace: name, labels, annotations }),
    }),
    resources: object({ requests: part, limits: part, claims: parts }),
    env: named,
    envFrom: parts,
    volumes: named,
    volumeMounts: named,
    containers: named,
    initContainers: named,
    lifecycle: part,
    hostAliases: list({ type: "object", required: ["ip"] }),
    podAnnotations: annotations,
    podLabels: labels,
    nodeSelector: each(text),
    tolerations: parts,
    affinity: part,
    topologySpreadConstraints: list({ type: "object", required: ["maxSkew", "topologyKey", "whenUnsatisfiable"] }),
    priorityClassName: text,
    runtimeClassName: text,
    schedulerName: text,
    dnsPolicy: one("", "ClusterFirst", "Default", "None", "ClusterFirstWithHostNet"),
    dnsConfig: part,
    podSecurityContext: part,
    securityContext: part,
    startupProbe: part,
    livenessProbe: part,
    readinessProbe: part,
    nameOverride: name,
    fullnameOverride: name,
    commonLabels: labels,
    commonAnnotations: annotations,
    extraObjects: list({ type: ["object", "string"] }),
    global: part,
  });
