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
