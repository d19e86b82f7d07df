{{/* Name of the release: what all names begin with. */}}
{{- define "tailrace.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that tell the pods of one program: list of root, program. They never change. */}}
{{- define "tailrace.selector" -}}
app.kubernetes.io/name: tailrace-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{/* Labels of an object: list of root, program. */}}
{{- define "tailrace.labels" -}}
{{ include "tailrace.selector" . }}
app.kubernetes.io/part-of: tailrace
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Image of a program: list of root, program. */}}
{{- define "tailrace.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index $root.Values (index . 1)).image -}}
{{- $name := $image.repository -}}
{{- if $root.Values.image.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $root.Values.image.registry) $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Port at the end of an address. */}}
{{- define "tailrace.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/* Port that agents send to. */}}
{{- define "tailrace.intakePort" -}}
{{- $config := .Values.aggregator.config -}}
{{- include "tailrace.port" ($config.ingest_listen | default $config.listen) -}}
{{- end -}}

{{/* Ports of the stores that the aggregator loads into, as a JSON list; empty when it is the store. */}}
{{- define "tailrace.storePorts" -}}
{{- $ports := list -}}
{{- range .Values.aggregator.config.outputs -}}
{{- range dig "elasticsearch" "hosts" (list) . -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports ($port | default (ternary "443" "80" (eq $url.scheme "https")) | int) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
