{{- define "roomcast.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "roomcast.selector" -}}
app.kubernetes.io/name: roomcast
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "roomcast.labels" -}}
{{ include "roomcast.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* As the pod decides: an address of Redis alone means pubsub. */}}
{{- define "roomcast.backplane" -}}
{{- $kind := dig "backplane" "kind" "auto" .Values.config -}}
{{- $url := or (dig "backplane" "url" "" .Values.config) (dig "backplane" "url_file" "" .Values.config) .Values.secrets.backplaneUrl.name -}}
{{- if ne $kind "auto" -}}{{ $kind }}{{- else if $url -}}pubsub{{- else -}}none{{- end -}}
{{- end }}

{{- define "roomcast.config" -}}
{{- if le (int .Values.drain.timeoutSeconds) (int .Values.drain.windowSeconds) -}}
{{- fail "drain.timeoutSeconds must be more than drain.windowSeconds" -}}
{{- end -}}
{{- $drain := dict
  "delay" (printf "%ds" (int .Values.drain.delaySeconds))
  "window" (printf "%ds" (int .Values.drain.windowSeconds))
  "timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) -}}
{{- $public := dict "listen" (list "0.0.0.0:3000" "[::]:3000") -}}
{{- $chart := dict "public" $public "drain" $drain -}}
{{- mergeOverwrite (deepCopy .Values.config) $chart | toYaml -}}
{{- end }}
