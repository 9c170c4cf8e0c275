{{- define "redis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "redis.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "master"); without a component: all servers. */}}
{{- define "redis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "redis.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "component" "master" "suffix" "-master" "labels" (dict)) */}}
{{- define "redis.metadata" -}}
name: {{ include "redis.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "redis.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with merge (dict) .root.Values.commonLabels .root.Values.global.commonLabels (.labels | default dict) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.image) */}}
{{- define "redis.image" -}}
{{- $registry := .image.registry | default .root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "redis.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "redis.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "redis.password" -}}
{{- .Values.global.redis.password | default .Values.auth.password -}}
{{- end -}}

{{- define "redis.secretName" -}}
{{- .Values.auth.existingSecret | default (include "redis.fullname" .) -}}
{{- end -}}

{{- define "redis.secretPasswordKey" -}}
{{- if .Values.auth.existingSecret -}}
{{- .Values.auth.existingSecretPasswordKey | default "redis-password" -}}
{{- else -}}
redis-password
{{- end -}}
{{- end -}}

{{/* Three quarters of a memory limit of whole Mi or Gi: the rest is for buffers and the rewrite of the AOF. */}}
{{- define "redis.maxMemory" -}}
{{- $mebibytes := ternary (mul (trimSuffix "Gi" .) 1024) (trimSuffix "Mi" . | int64) (hasSuffix "Gi" .) -}}
{{- printf "%dmb" (div (mul $mebibytes 3) 4) -}}
{{- end -}}

{{/* redis.conf of one role: (dict "root" $ "component" "replica") */}}
{{- define "redis.conf" -}}
{{- $values := get .root.Values .component -}}
dir /data
port 6379
# Who may connect is the network policy's to say, and the password's.
protected-mode no
# A copy of each server's own is written by the start script, with the password, which is in no ConfigMap.
include /run/redis/auth.conf
{{- with $values.resources.limits.memory }}
maxmemory {{ include "redis.maxMemory" . }}
{{- end }}
# What has a time to live goes first when memory runs out.
maxmemory-policy volatile-lru
{{- if eq .component "replica" }}
replicaof {{ include "redis.fullname" .root }}-master-0.{{ include "redis.fullname" .root }}-headless 6379
{{- end }}
{{- with .root.Values.commonConfiguration }}
{{ . }}
{{- end }}
{{- with $values.configuration }}
{{ . }}
{{- end }}
{{- range $values.disableCommands }}
rename-command {{ . }} ""
{{- end }}
{{ end -}}
