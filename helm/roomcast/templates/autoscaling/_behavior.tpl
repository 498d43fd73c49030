{{/* One pod at a time, each after the drain of the one before: by itself, an autoscaler may take all that are too many in
     15 seconds. */}}
{{- define "roomcast.behavior" -}}
{{- $seconds := min 1800 (max 60 (int (include "roomcast.drainSeconds" .))) -}}
{{- $policies := list (dict "type" "Pods" "value" 1 "periodSeconds" $seconds) -}}
{{- $behavior := dict "scaleDown" (dict "stabilizationWindowSeconds" 300 "policies" $policies) -}}
{{- mergeOverwrite $behavior (deepCopy .Values.autoscaling.behavior) | toYaml -}}
{{- end }}
