{{/* The configuration file, and how long a pod may take to end. */}}

{{/* Seconds of a preStop that sleeps: the grace period counts them. */}}
{{- define "roomcast.preStop" -}}
{{- dig "preStop" "sleep" "seconds" 0 (.Values.lifecycle | default dict) -}}
{{- end }}

{{- define "roomcast.grace" -}}
{{- with .Values.drain -}}
{{- add .rolloutWaitSeconds .delaySeconds .timeoutSeconds .marginSeconds (include "roomcast.preStop" $) -}}
{{- end -}}
{{- end }}

{{- define "roomcast.progressDeadline" -}}
{{- $wanted := max 600 (add (include "roomcast.grace" .) .Values.minReadySeconds 60) -}}
{{- kindIs "invalid" .Values.progressDeadlineSeconds | ternary $wanted .Values.progressDeadlineSeconds -}}
{{- end }}

{{/* From the end of the wait for a rollout until the last client of a pod has left it. */}}
{{- define "roomcast.drainSeconds" -}}
{{- add .Values.drain.delaySeconds .Values.drain.timeoutSeconds -}}
{{- end }}

{{- define "roomcast.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $public := dict "listen" (list "0.0.0.0:3000" "[::]:3000") -}}
{{- $drain := dict
  "delay" (printf "%ds" (int .Values.drain.delaySeconds))
  "window" (printf "%ds" (int .Values.drain.windowSeconds))
  "timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) -}}
{{- with int .Values.drain.rolloutWaitSeconds }}{{ $_ := set $drain "rollout_wait" (printf "%ds" .) }}{{ end -}}
{{- $chart := dict "public" $public "drain" $drain -}}
{{- if .Values.kubernetes.enabled -}}
{{- $kubernetes := dict "enabled" true "deletion_cost" .Values.kubernetes.deletionCost "events" .Values.kubernetes.events -}}
{{- if include "roomcast.peers" . }}{{ $_ := set $kubernetes "peers_service" (printf "%s-headless" (include "roomcast.name" .)) }}{{ end -}}
{{- if eq .Values.autoscaling.kind "external" }}{{ $_ := set $kubernetes "external_metrics" (include "roomcast.externalMetrics" . | fromYaml) }}{{ end -}}
{{- $_ := set $chart "kubernetes" $kubernetes -}}
{{- end -}}
{{- mergeOverwrite $config $chart | toYaml -}}
{{- end }}

{{/* "true" where pods look for each other in EndpointSlices: without Redis each is alone. */}}
{{- define "roomcast.peers" -}}
{{- if and .Values.kubernetes.enabled .Values.kubernetes.peers (ne (include "roomcast.backplane" .) "none") }}true{{ end -}}
{{- end }}

{{- define "roomcast.externalMetrics" -}}
{{- $certificate := .Values.autoscaling.external.certificate -}}
listen: ["0.0.0.0:{{ .Values.autoscaling.external.port }}", "[::]:{{ .Values.autoscaling.external.port }}"]
service: {{ include "roomcast.name" . }}-external-metrics.{{ .Release.Namespace }}.svc
{{- if include "roomcast.certificateSecret" . }}
cert_file: /etc/roomcast/external-metrics/tls.crt
key_file: /etc/roomcast/external-metrics/tls.key
{{- else }}
api_service: v1beta1.external.metrics.k8s.io
secret: {{ include "roomcast.name" . }}-external-metrics
{{- end }}
{{- end }}

{{/* Name of the Secret with the certificate of external metrics that is mounted; empty: the pods make it. */}}
{{- define "roomcast.certificateSecret" -}}
{{- if eq .Values.autoscaling.kind "external" -}}
{{- with .Values.autoscaling.external.certificate -}}
{{- if .secretName }}{{ .secretName }}{{ else if .certManager.enabled }}{{ include "roomcast.name" $ }}-external-metrics-tls{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}
