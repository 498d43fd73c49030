{{/* What each controller needs for WebSockets to live on, as annotations: list of the context and one of `ingresses`. Connections are
     idle for `engine.ping_interval` (25 s) at most, so each time-out is far over it. */}}
{{- define "roomcast.ingressPreset" -}}
{{- $root := index . 0 -}}
{{- $name := include "roomcast.name" $root -}}
{{- with index . 1 -}}
{{- if eq .controller "nginx" }}
nginx.org/websocket-services: {{ $name }}
nginx.org/proxy-read-timeout: 3600s
nginx.org/proxy-send-timeout: 3600s
{{- if .affinity }}
nginx.org/lb-method: ip_hash
{{- end }}
{{- else if eq .controller "ingress-nginx" }}
nginx.ingress.kubernetes.io/proxy-read-timeout: "3600"
nginx.ingress.kubernetes.io/proxy-send-timeout: "3600"
{{- if .affinity }}
nginx.ingress.kubernetes.io/affinity: cookie
nginx.ingress.kubernetes.io/affinity-mode: persistent
nginx.ingress.kubernetes.io/session-cookie-name: roomcast-pod
{{- end }}
{{- else if eq .controller "haproxy" }}
# Of polls. WebSockets have `timeout-tunnel`, which is in the ConfigMap of the controller only: an hour by itself.
haproxy.org/timeout-server: 60s
{{- if .affinity }}
haproxy.org/cookie-persistence: roomcast-pod
{{- end }}
{{- else if eq .controller "alb" }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds=300
# As long as a pod may take to end: it closes its connections itself.
alb.ingress.kubernetes.io/target-group-attributes: {{ printf "deregistration_delay.timeout_seconds=%d" (min 3600 (int (include "roomcast.grace" $root))) }}{{ if .affinity }},stickiness.enabled=true,stickiness.type=lb_cookie{{ end }}
alb.ingress.kubernetes.io/healthcheck-port: "9000"
alb.ingress.kubernetes.io/healthcheck-path: /readyz
alb.ingress.kubernetes.io/healthcheck-interval-seconds: "5"
alb.ingress.kubernetes.io/healthcheck-timeout-seconds: "3"
{{- end }}
{{- end }}
{{- end }}
