{{- define "lorafs.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 52 characters are what a StatefulSet's name may have: its pods get a label with a hash behind it. */}}
{{- define "lorafs.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "lorafs.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "lorafs.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "lorafs.selector" -}}
app.kubernetes.io/name: {{ include "lorafs.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lorafs.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "lorafs.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lorafs.image" -}}
{{- $tag := default (printf "%s%s" .Chart.AppVersion (ternary "-cuda" "" (gt (int .Values.gpu.count) 0))) .Values.image.tag -}}
{{ printf "%s:%s" .Values.image.repository $tag }}
{{- end }}

{{- define "lorafs.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "lorafs.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The secret of the key, empty where everybody may ask. */}}
{{- define "lorafs.authSecret" -}}
{{- $ways := 0 }}
{{- range list .Values.auth.existingSecret .Values.auth.apiKey .Values.auth.insecure }}
{{- if . }}{{ $ways = add1 $ways }}{{ end }}
{{- end }}
{{- if ne (int $ways) 1 }}
{{- fail "set exactly one of auth.existingSecret, auth.apiKey and auth.insecure" }}
{{- end }}
{{- if .Values.auth.apiKey }}
{{- printf "%s-key" (include "lorafs.fullname" .) }}
{{- else }}
{{- .Values.auth.existingSecret }}
{{- end }}
{{- end }}

{{- define "lorafs.authSecretKey" -}}
{{- if .Values.auth.apiKey }}api-key{{ else }}{{ .Values.auth.secretKey }}{{ end }}
{{- end }}

{{- define "lorafs.scheme" -}}
{{- if .Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- define "lorafs.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A claim's specification, of .Values.persistence or .Values.bases. */}}
{{- define "lorafs.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}
