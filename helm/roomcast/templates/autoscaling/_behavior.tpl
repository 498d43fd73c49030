{{/* One pod at a time, each after the drain of the one before: by itself, an autoscaler may take all that are too many in
     15 seconds. And not for what it sees in a rollout, in which the connections of pods that are ending may not count. */}}
{{- define "roomcast.behavior" -}}
{{- $seconds := min 1800 (max 60 (int (include "roomcast.drainSeconds" .))) -}}
{{- $policies := list (dict "type" "Pods" "value" 1 "periodSeconds" $seconds) -}}
{{- $stable := min 3600 (max 300 (add 60 .Values.drain.rolloutWaitSeconds)) -}}
{{- $behavior := dict "scaleDown" (dict "stabilizationWindowSeconds" $stable "policies" $policies) -}}
{{- mergeOverwrite $behavior (deepCopy .Values.autoscaling.behavior) | toYaml -}}
{{- end }}
