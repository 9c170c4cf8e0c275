{{/* The objects that every server has. (dict "root" $ "component" "api-gateway" "args" (list)) */}}

{{- define "jupiter.deployment" -}}
{{- $values := get .root.Values (include "jupiter.valuesKey" .component) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "jupiter.metadata" . | nindent 2 }}
spec:
  {{- if not ($values.autoscaling | default dict).enabled }}
  replicas: {{ int64 $values.replicaCount }}
  {{- end }}
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 300
  # A new pod first: a rollout never serves with fewer pods than asked for.
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "jupiter.selectorLabels" . | nindent 6 }}
  template:
    {{- include "jupiter.podTemplate" . | nindent 4 }}
{{- end -}}

{{- define "jupiter.service" -}}
{{- $values := get .root.Values (include "jupiter.valuesKey" .component) -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "jupiter.metadata" (merge (dict "annotations" $values.service.annotations) .) | nindent 2 }}
spec:
  type: {{ $values.service.type }}
  selector:
    {{- include "jupiter.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: 8080
      targetPort: http
      protocol: TCP
    - name: metrics
      port: 9090
      targetPort: metrics
      protocol: TCP
{{- end -}}

{{- define "jupiter.podDisruptionBudget" -}}
{{- $values := get .root.Values (include "jupiter.valuesKey" .component) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "jupiter.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  # A pod that cannot get ready never blocks a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "jupiter.selectorLabels" . | nindent 6 }}
{{- end -}}
