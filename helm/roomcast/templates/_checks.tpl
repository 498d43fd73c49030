{{/* What values.schema.json cannot say, all of it at once, each with what to set. Fails, or prints nothing. */}}

{{- define "roomcast.checks" -}}
{{- $wrong := list -}}
{{- $values := .Values -}}

{{- range $path, $advice := .Files.Get "files/renamed.yaml" | fromYaml -}}
  {{- $at := $values -}}
  {{- $there := true -}}
  {{- range splitList "." $path -}}
    {{- if and $there (kindIs "map" $at) (hasKey $at .) }}{{ $at = index $at . }}{{ else }}{{ $there = false }}{{ end -}}
  {{- end -}}
  {{- if $there }}{{ $wrong = append $wrong (printf "%s is not a value of this chart: %s" $path $advice) }}{{ end -}}
{{- end -}}

{{- $drain := .Values.drain -}}
{{- if le (int $drain.timeoutSeconds) (int $drain.windowSeconds) -}}
  {{- $wrong = append $wrong (printf "drain.timeoutSeconds is %d, and must be more than drain.windowSeconds, %d: connections would be cut before the window has closed them" (int $drain.timeoutSeconds) (int $drain.windowSeconds)) -}}
{{- end -}}
{{- $grace := int (include "roomcast.grace" .) -}}
{{- if not (kindIs "invalid" .Values.terminationGracePeriodSeconds) -}}
  {{- if lt (int .Values.terminationGracePeriodSeconds) $grace -}}
    {{- $wrong = append $wrong (printf "terminationGracePeriodSeconds is %d, and must be at least %d: drain.rolloutWaitSeconds %d + drain.delaySeconds %d + drain.timeoutSeconds %d + drain.marginSeconds %d + lifecycle.preStop.sleep.seconds %d. Leave it null, or make those smaller" (int .Values.terminationGracePeriodSeconds) $grace (int $drain.rolloutWaitSeconds) (int $drain.delaySeconds) (int $drain.timeoutSeconds) (int $drain.marginSeconds) (int (include "roomcast.preStop" .))) -}}
  {{- end -}}
{{- end -}}
{{- if and (include "roomcast.several" .) (lt (int $drain.delaySeconds) 2) -}}
  {{- $wrong = append $wrong (printf "drain.delaySeconds is %d, and must be at least 2 where there are several pods: nodes take a second or two to forget a pod, and would still send new clients to one that closes its connections" (int $drain.delaySeconds)) -}}
{{- end -}}
{{- $deadline := int (include "roomcast.progressDeadline" .) -}}
{{- if le $deadline (int .Values.minReadySeconds) -}}
  {{- $wrong = append $wrong (printf "progressDeadlineSeconds is %d, and must be more than minReadySeconds, %d: every rollout would count as failed" $deadline (int .Values.minReadySeconds)) -}}
{{- end -}}
{{- $rolling := .Values.strategy.rollingUpdate | default dict -}}
{{- if and (eq .Values.strategy.type "RollingUpdate") (has (toString (dig "maxSurge" "25%" $rolling)) (list "0" "0%")) (has (toString (dig "maxUnavailable" "25%" $rolling)) (list "0" "0%")) -}}
  {{- $wrong = append $wrong "strategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced" -}}
{{- end -}}

{{- if regexMatch "://[^/@]*:[^/@]+@|[pP]assword=" (dig "backplane" "url" "" .Values.config | toString) -}}
  {{- $wrong = append $wrong "config.backplane.url has a password in it, and a ConfigMap is no place for one: set secrets.backplaneUrl.name, or secrets.backplanePassword.name beside an address without it" -}}
{{- end -}}

{{- $none := eq (include "roomcast.backplane" .) "none" -}}
{{- if and $none (ne .Values.autoscaling.kind "none") -}}
  {{- $wrong = append $wrong (printf "autoscaling.kind is %s: more than one pod needs Redis: set config.backplane.url or secrets.backplaneUrl.name, or config.backplane.kind if the address is in envFrom" .Values.autoscaling.kind) -}}
{{- else if and $none (gt (int .Values.replicas) 1) -}}
  {{- $wrong = append $wrong (printf "replicas is %d: more than one pod needs Redis: set config.backplane.url or secrets.backplaneUrl.name, or config.backplane.kind if the address is in envFrom" (int .Values.replicas)) -}}
{{- end -}}

{{- with .Values.autoscaling -}}
{{- if ne .kind "none" -}}
  {{- if gt (int .minReplicas) (int .maxReplicas) -}}
    {{- $wrong = append $wrong (printf "autoscaling.minReplicas is %d, and must not be more than autoscaling.maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) -}}
  {{- end -}}
  {{- $most := int (dig "admission" "max_connections" 0 $values.config) -}}
  {{- $share := dig "admission" "ready_share" 0.9 $values.config -}}
  {{- if and $most (ge (float64 .connectionsPerPod) (mulf $most $share)) -}}
    {{- $wrong = append $wrong (printf "autoscaling.connectionsPerPod is %d, and must be less than config.admission.max_connections × ready_share, %d × %v: pods would be full before one is added" (int .connectionsPerPod) $most $share) -}}
  {{- end -}}
{{- end -}}
{{- if eq .kind "external" -}}
  {{- if not $values.kubernetes.enabled -}}
    {{- $wrong = append $wrong "autoscaling.kind is external, which needs kubernetes.enabled: the pods ask the API server who may read their metrics" -}}
  {{- end -}}
  {{- with .external.certificate -}}
  {{- if and .secretName .certManager.enabled -}}
    {{- $wrong = append $wrong "autoscaling.external.certificate: set secretName or certManager.enabled, not both" -}}
  {{- else if and .secretName (not .ca) -}}
    {{- $wrong = append $wrong "autoscaling.external.certificate.secretName needs ca, the authority in PEM, which the API server believes the certificate by" -}}
  {{- else if and .ca (not .secretName) -}}
    {{- $wrong = append $wrong "autoscaling.external.certificate.ca is for a certificate of yours: set secretName, too" -}}
  {{- end -}}
  {{- end -}}
  {{- with lookup "apiregistration.k8s.io/v1" "APIService" "" "v1beta1.external.metrics.k8s.io" -}}
    {{- $release := dig "metadata" "annotations" "meta.helm.sh/release-name" "" . -}}
    {{- $namespace := dig "metadata" "annotations" "meta.helm.sh/release-namespace" "" . -}}
    {{- if or (ne $release $.Release.Name) (ne $namespace $.Release.Namespace) -}}
      {{- $wrong = append $wrong (printf "autoscaling.kind is external, but this cluster has a provider of external.metrics.k8s.io already: the Service %s/%s. There can be only one: set autoscaling.kind to keda or adapter" (dig "spec" "service" "namespace" "?" .) (dig "spec" "service" "name" "?" .)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and (eq .kind "keda") (eq .keda.trigger "prometheus") (not .keda.prometheus.serverAddress) -}}
  {{- $wrong = append $wrong "autoscaling.keda.trigger is prometheus, which needs autoscaling.keda.prometheus.serverAddress" -}}
{{- end -}}
{{- end -}}

{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
  {{- $wrong = append $wrong "metrics.serviceMonitor and metrics.podMonitor are both enabled: every series would be there twice. Enable one" -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "these values cannot be used:\n\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end }}
