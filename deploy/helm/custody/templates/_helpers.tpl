{{- define "custody.name" -}}
{{- printf "%s-%s" (.Release.Name | trunc 40 | trimSuffix "-") .component -}}
{{- end -}}

{{- define "custody.labels" -}}
app.kubernetes.io/name: custody
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "custody.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* What all services are told; each adds its own. Passwords are files of secrets. */}}
{{- define "custody.common" -}}
{{- $kafka := dict "brokers" .Values.kafka.brokers "topic_prefix" .Values.kafka.topicPrefix "partitions" .Values.kafka.partitions "replication" .Values.kafka.replication -}}
{{- $user := get .Values.kafka.users .component | default "" -}}
{{- if .Values.kafka.tls.enabled -}}
{{- $tls := dict "enabled" true -}}
{{- if .Values.kafka.tls.caSecret -}}{{- $_ := set $tls "ca_file" (printf "/etc/custody/kafka-ca/%s" .Values.kafka.tls.caKey) -}}{{- end -}}
{{- if eq .Values.kafka.auth "tls" -}}{{- $_ := set $tls "cert_file" "/etc/custody/kafka-user/user.crt" -}}{{- $_ := set $tls "key_file" "/etc/custody/kafka-user/user.key" -}}{{- end -}}
{{- $_ := set $kafka "tls" $tls -}}
{{- end -}}
{{- if eq .Values.kafka.auth "scram" -}}
{{- $_ := set $kafka "sasl" (dict "mechanism" .Values.kafka.mechanism "username" $user "password_file" "/etc/custody/kafka-user/password") -}}
{{- end -}}
{{- $out := dict "log" .Values.log "telemetry" (dict "address" "0.0.0.0:9464" "otlp_endpoint" .Values.telemetry.otlpEndpoint "sample_ratio" .Values.telemetry.sampleRatio) "data_dir" "/var/lib/custody" -}}
{{- if not (get . "offline") -}}{{- $_ := set $out "kafka" $kafka -}}{{- end -}}
{{- with (get . "clickhouse") -}}
{{- $clickhouse := dict "addresses" $.Values.clickhouse.addresses "database" $.Values.clickhouse.database "cluster" $.Values.clickhouse.cluster "user" .name -}}
{{- if (get . "secret") -}}{{- $_ := set $clickhouse "password_file" (printf "/etc/custody/clickhouse/%s" .key) -}}{{- end -}}
{{- if $.Values.clickhouse.tls.enabled -}}
{{- $tls := dict "enabled" true -}}
{{- if $.Values.clickhouse.tls.caSecret -}}{{- $_ := set $tls "ca_file" (printf "/etc/custody/clickhouse-ca/%s" $.Values.clickhouse.tls.caKey) -}}{{- end -}}
{{- $_ := set $clickhouse "tls" $tls -}}
{{- end -}}
{{- $_ := set $out "clickhouse" $clickhouse -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* The ConfigMap of a service: what is common, .own, and the user's settings over both. */}}
{{- define "custody.configmap" -}}
{{- $settings := mergeOverwrite (include "custody.common" . | fromYaml) ((get . "own") | default dict) (deepCopy ((get . "settings") | default dict)) -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "custody.name" . }}
  labels: {{- include "custody.labels" . | nindent 4 }}
  {{- with (get . "annotations") }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  custody.yaml: | {{- $settings | toYaml | nindent 4 }}
{{- end -}}

{{/* Secrets that a service reads as files: what is common and .mounts, a list of name, secret or configMap or claim, path. */}}
{{- define "custody.mounts" -}}
{{- $mounts := list (dict "name" "config" "configMap" (include "custody.name" .) "path" "/etc/custody/config") -}}
{{- if not (get . "offline") -}}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.caSecret -}}{{- $mounts = append $mounts (dict "name" "kafka-ca" "secret" .Values.kafka.tls.caSecret "path" "/etc/custody/kafka-ca") -}}{{- end -}}
{{- if ne .Values.kafka.auth "none" -}}
{{- $user := required (printf "kafka.users.%s is required with kafka.auth %s" .component .Values.kafka.auth) (get .Values.kafka.users .component) -}}
{{- $mounts = append $mounts (dict "name" "kafka-user" "secret" $user "path" "/etc/custody/kafka-user") -}}
{{- end -}}
{{- end -}}
{{- with (get . "clickhouse") -}}
{{- if (get . "secret") -}}{{- $mounts = append $mounts (dict "name" "clickhouse" "secret" (get . "secret") "path" "/etc/custody/clickhouse") -}}{{- end -}}
{{- if and $.Values.clickhouse.tls.enabled $.Values.clickhouse.tls.caSecret -}}{{- $mounts = append $mounts (dict "name" "clickhouse-ca" "secret" $.Values.clickhouse.tls.caSecret "path" "/etc/custody/clickhouse-ca") -}}{{- end -}}
{{- end -}}
{{- range (get . "mounts" | default list) -}}{{- if or (get . "secret") (get . "configMap") (get . "claim") -}}{{- $mounts = append $mounts . -}}{{- end -}}{{- end -}}
{{- toYaml $mounts -}}
{{- end -}}

{{/* The pod of a service: component, args, ports, resources, clickhouse, mounts, data ("emptyDir" or a claim template's name). */}}
{{- define "custody.pod" -}}
{{- $mounts := include "custody.mounts" . | fromYamlArray -}}
metadata:
  labels: {{- include "custody.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include "custody.configmap" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{- toYaml . | nindent 4 }}{{- end }}
spec:
  automountServiceAccountToken: false
  {{- with .Values.serviceAccount }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with (get . "restartPolicy") }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: 60
  containers:
  - name: {{ .component }}
    image: {{ include "custody.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: {{- append .args "--config=/etc/custody/config/custody.yaml" | toYaml | nindent 4 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    resources: {{- toYaml .resources | nindent 6 }}
    {{- if (get . "ports") }}
    ports:
    {{- range $name, $port := (get . "ports") }}
    - {name: {{ $name }}, containerPort: {{ $port }}}
    {{- end }}
    startupProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 2
      failureThreshold: 60
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
      timeoutSeconds: 6
    livenessProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    {{- end }}
    volumeMounts:
    - {name: data, mountPath: /var/lib/custody}
    {{- range $mounts }}
    - name: {{ .name }}
      mountPath: {{ .path }}
      {{- if not (get . "writable") }}
      readOnly: true
      {{- end }}
    {{- end }}
  volumes:
  {{- if not (get . "dataClaim") }}
  - name: data
    emptyDir: {sizeLimit: 64Mi}
  {{- end }}
  {{- range $mounts }}
  - name: {{ .name }}
    {{- if (get . "secret") }}
    secret: {secretName: {{ (get . "secret") }}, defaultMode: 0440}
    {{- else if (get . "configMap") }}
    configMap: {name: {{ (get . "configMap") }}}
    {{- else }}
    persistentVolumeClaim: {claimName: {{ (get . "claim") }}}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpread }}
  topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "custody.labels" . | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* A Deployment around the pod; the processor's number is KEDA's where that scales it. */}}
{{- define "custody.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "custody.name" . }}
  labels: {{- include "custody.labels" . | nindent 4 }}
spec:
  {{- if not (get . "scaled") }}
  replicas: {{ .replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "custody.labels" . | nindent 6 }}
  template: {{- include "custody.pod" . | nindent 4 }}
{{- end -}}

{{- define "custody.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "custody.name" . }}
  labels: {{- include "custody.labels" . | nindent 4 }}
spec:
  {{- if (get . "headless") }}
  clusterIP: None
  {{- end }}
  selector: {{- include "custody.labels" . | nindent 4 }}
  ports:
  {{- range $name, $port := (get . "ports") }}
  - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}}
  {{- end }}
{{- end -}}

{{- define "custody.ports" -}}
ports:
{{- range . }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{/* A NetworkPolicy for components .of: .in ports from .peers, or .out ports to them. */}}
{{- define "custody.policy" -}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "custody.name" . }}
  labels: {{- include "custody.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: custody
      app.kubernetes.io/instance: {{ .Release.Name }}
    {{- with (get . "of") }}
    matchExpressions:
    - {key: app.kubernetes.io/component, operator: In, values: {{ toJson . }}}
    {{- end }}
  {{- if (get . "in") }}
  policyTypes: [Ingress]
  ingress:
  - {{- include "custody.ports" (get . "in") | nindent 4 }}
    {{- with (get . "peers") }}
    from: {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- else }}
  policyTypes: [Egress]
  egress:
  - {{- include "custody.ports" (get . "out") | nindent 4 }}
    {{- with (get . "peers") }}
    to: {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}
