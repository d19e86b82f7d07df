{{/* The pod of the aggregator, for StatefulSet and Deployment: what stands below `template`. */}}
{{- define "tailrace.aggregatorPod" -}}
{{- $aggregator := .Values.aggregator -}}
{{- $name := printf "%s-aggregator" (include "tailrace.fullname" .) -}}
{{- $port := include "tailrace.port" $aggregator.config.listen -}}
metadata:
  labels:
    {{- include "tailrace.selector" (list . "aggregator") | nindent 4 }}
    {{- with $aggregator.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Rules are not among these: they are loaded again without a restart.
    checksum/config: {{ include (print $.Template.BasePath "/aggregator-config.yaml") . | sha256sum }}
    {{- if or .Values.secrets.token.create .Values.secrets.store.create .Values.secrets.users.create }}
    checksum/secrets: {{ include (print $.Template.BasePath "/secrets.yaml") . | sha256sum }}
    {{- end }}
    {{- if not .Values.monitoring.enabled }}
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ $port | quote }}
    {{- end }}
    {{- with $aggregator.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $aggregator.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $aggregator.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    {{- if not .Values.openshift.enabled }}
    runAsUser: {{ $aggregator.runAs }}
    runAsGroup: {{ $aggregator.runAs }}
    fsGroup: {{ $aggregator.runAs }}
    {{- end }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- if $aggregator.topologySpread }}
  # A claim may be bound to a zone or a node: spreading must not keep a pod from its buffer.
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tailrace.selector" (list $ "aggregator") | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with $aggregator.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $aggregator.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $aggregator.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: aggregator
      image: {{ include "tailrace.image" (list . "aggregator") }}
      {{- with .Values.image.pullPolicy }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args: [--config, /etc/tailrace/aggregator.yaml]
      {{- with $aggregator.env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ $port }}
        {{- if $aggregator.config.ingest_listen }}
        - name: intake
          containerPort: {{ include "tailrace.intakePort" . }}
        {{- end }}
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 20
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      resources:
        {{- toYaml $aggregator.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/tailrace
          readOnly: true
        - name: rules
          mountPath: /etc/tailrace/rules
          readOnly: true
        - name: token
          mountPath: /etc/tailrace/token
          readOnly: true
        - name: store
          mountPath: /etc/tailrace/store
          readOnly: true
        - name: data
          mountPath: {{ $aggregator.config.data_dir }}
        {{- if .Values.secrets.users.enabled }}
        - name: users
          mountPath: /etc/tailrace/users
          readOnly: true
        {{- end }}
        {{- if include "tailrace.readsEvents" . }}
        - name: api-token
          mountPath: /var/run/secrets/kubernetes.io/serviceaccount
          readOnly: true
        {{- end }}
        {{- with $aggregator.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ $name }}
    - name: rules
      configMap:
        name: {{ include "tailrace.fullname" . }}-rules
    - name: token
      secret:
        secretName: {{ .Values.secrets.token.name }}
    - name: store
      secret:
        secretName: {{ .Values.secrets.store.name }}
        optional: true
    {{- if .Values.secrets.users.enabled }}
    - name: users
      secret:
        secretName: {{ .Values.secrets.users.name }}
    {{- end }}
    {{- if eq $aggregator.config.ack "store" }}
    # Lock and notes of the running program.
    - name: data
      emptyDir:
        sizeLimit: {{ $aggregator.emptyDir.sizeLimit }}
    {{- end }}
    {{- if include "tailrace.readsEvents" . }}
    - name: api-token
      projected:
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: {{ $aggregator.serviceAccount.tokenSeconds }}
          - configMap:
              name: kube-root-ca.crt
              items:
                - key: ca.crt
                  path: ca.crt
          - downwardAPI:
              items:
                - path: namespace
                  fieldRef:
                    fieldPath: metadata.namespace
    {{- end }}
    {{- with $aggregator.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
