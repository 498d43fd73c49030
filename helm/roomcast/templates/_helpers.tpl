{{/* Names and labels. */}}

{{- define "roomcast.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{- define "roomcast.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default "roomcast" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of the pod of `helm test`, which the NetworkPolicy lets in. */}}
{{- define "roomcast.testLabels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default "roomcast" | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of what runs: a tag, or what stands for one. */}}
{{- define "roomcast.version" -}}
{{- .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." -}}
{{- end }}

{{/* Those that objects are found by win over those of the user. */}}
{{- define "roomcast.labels" -}}
{{- $own := include "roomcast.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" (include "roomcast.version" .) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end }}

{{/* `metadata` of an object: list of the context, its name, and optionally its own labels and annotations. */}}
{{- define "roomcast.metadata" -}}
{{- $root := index . 0 -}}
{{- $own := concat . (list dict dict) -}}
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- merge (include "roomcast.labels" $root | fromYaml) (index $own 2 | default dict) | toYaml | nindent 4 }}
  {{- with merge (dict) (index $own 3 | default dict) $root.Values.commonAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The rest of `metadata` of an object that is not in the namespace of the release. */}}
{{- define "roomcast.common" -}}
labels: {{- include "roomcast.labels" . | nindent 2 }}
{{- with .Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Of the cluster, so with the namespace in its name. */}}
{{- define "roomcast.clusterName" -}}
{{ .Release.Namespace }}-{{ include "roomcast.name" . }}-external-metrics
{{- end }}

{{- define "roomcast.image" -}}
{{- .Values.image.repository -}}
{{- if or .Values.image.tag (not .Values.image.digest) }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{- define "roomcast.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "roomcast.name" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{/* "true" where there may be more than one pod. */}}
{{- define "roomcast.several" -}}
{{- if or (ne .Values.autoscaling.kind "none") (gt (int .Values.replicas) 1) }}true{{ end -}}
{{- end }}

{{/* As the pod decides: an address of Redis alone means pubsub. */}}
{{- define "roomcast.backplane" -}}
{{- $kind := dig "backplane" "kind" "auto" .Values.config -}}
{{- $url := or (dig "backplane" "url" "" .Values.config) (dig "backplane" "url_file" "" .Values.config) .Values.secrets.backplaneUrl.name -}}
{{- range .Values.env -}}
{{- if has .name (list "ROOMCAST__BACKPLANE__URL" "ROOMCAST__BACKPLANE__URL_FILE") -}}{{- $url = .name -}}{{- end -}}
{{- end -}}
{{- if ne $kind "auto" -}}{{ $kind }}{{- else if $url -}}pubsub{{- else -}}none{{- end -}}
{{- end }}

{{- define "roomcast.path" -}}
{{- dig "public" "path" "/socket.io/" .Values.config -}}
{{- end }}
