{{/* Egress for names. Any address: a DNS cache of the node has one outside of all pods. */}}
{{- define "tailrace.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* OpenShift's DNS pods listen on 5353 behind the Service's 53. */}}
{{- define "tailrace.dnsBehind" -}}
- ports:
    - {port: 5353, protocol: UDP}
    - {port: 5353, protocol: TCP}
{{- end -}}
