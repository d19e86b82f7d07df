{{/* Whether aggregators read Kubernetes Events: "true", or nothing. */}}
{{- define "tailrace.readsEvents" -}}
{{- if dig "kubernetes_events" "enabled" false .Values.aggregator.config -}}true{{- end -}}
{{- end -}}
