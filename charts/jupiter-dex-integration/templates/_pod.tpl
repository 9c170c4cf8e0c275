{{/*
The one pod template. (dict "root" $ "component" "price-oracle" "args" (list "serve") "job" false)
A job has no ports, probes or drain, and ends; everything else is equal. One of another "podComponent" has its label, and
with "ownAccount" its ServiceAccount. "env" adds variables, "apiToken" mounts a token for the API server.
*/}}
{{- define "jupiter.podTemplate" -}}
{{- $root := .root -}}
{{- $values := get $root.Values (include "jupiter.valuesKey" .component) -}}
{{- $secretFiles := include "jupiter.secretFiles" . | fromYamlArray -}}
{{- $backupClaim := and (eq .component "backup") $root.Values.backup.persistentVolumeClaim -}}
metadata:
  labels:
    {{- include "jupiter.selectorLabels" (dict "root" $root "component" (.podComponent | default .component)) | nindent 4 }}
    {{- if $root.Values.redis.enabled }}
    {{ include "redis.fullname" (dict "Values" $root.Values.redis "Release" $root.Release "Chart" (dict "Name" "redis")) }}-client: "true"
    {{- end }}
  {{- if or (not .job) $values.podAnnotations }}
  annotations:
    {{- if not .job }}
    {{- /* Scaling restarts nothing: pods that run have learnt from Redis how many they are. */}}
    checksum/config: {{ omit (include "jupiter.config" . | fromYaml) "RATE_LIMIT_REPLICAS" | toJson | sha256sum }}
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "jupiter.componentName" (dict "root" $root "component" (ternary .podComponent .component (default false .ownAccount))) }}
  # A pod that calls the API server mounts a token itself, which is short-lived.
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $root.Values.scheduling.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if .job }}
  restartPolicy: Never
  {{- else }}
  # preStop sleep + drain + margin
  terminationGracePeriodSeconds: {{ with $root.Values.shutdown }}{{ add .preStopSleepSeconds .drainTimeoutSeconds .marginSeconds }}{{ end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: {{ .component }}
      image: {{ include "jupiter.image" . }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- with .args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      envFrom:
        - configMapRef:
            name: {{ include "jupiter.componentName" . }}
      env:
        - name: GOMEMLIMIT
          value: {{ include "jupiter.goMemLimit" $values.resources.limits.memory }}
        {{- if $values.resources.limits.cpu }}
        - name: GOMAXPROCS
          valueFrom:
            resourceFieldRef:
              resource: limits.cpu
              divisor: "1"
        {{- end }}
        {{- if eq .component "backup" }}
        # Not in the ConfigMap, which is saved and may be restored into another namespace.
        - name: BACKUP_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        {{- end }}
        {{- range $secretFiles }}
        {{- if .env }}
        - name: {{ .env }}
          value: /run/secrets/jupiter-dex/{{ .file }}
        {{- end }}
        {{- end }}
        {{- range $name, $value := .env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      {{- if not .job }}
      ports:
        - name: http
          containerPort: 8080
          protocol: TCP
        - name: metrics
          containerPort: 9090
          protocol: TCP
      # Started: the process listens. Ready: it has what it needs to answer. Alive: it still answers at all, whatever
      # became of Redis or the upstream, so that an outage elsewhere restarts nothing here.
      startupProbe:
        httpGet:
          path: /health
          port: http
          {{- if include "jupiter.tls" . }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: 60
      readinessProbe:
        httpGet:
          path: /ready
          port: http
          {{- if include "jupiter.tls" . }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet:
          path: /health
          port: http
          {{- if include "jupiter.tls" . }}
          scheme: HTTPS
          {{- end }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      lifecycle:
        preStop:
          sleep:
            seconds: {{ int64 $root.Values.shutdown.preStopSleepSeconds }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        capabilities:
          drop:
            - ALL
        seccompProfile:
          type: RuntimeDefault
      {{- if or $secretFiles $backupClaim .apiToken }}
      volumeMounts:
        {{- if $secretFiles }}
        # The directory, not single files: a subPath would never be refreshed.
        - name: secrets
          mountPath: /run/secrets/jupiter-dex
          readOnly: true
        {{- end }}
        {{- if $backupClaim }}
        - name: backup
          mountPath: /backup
        {{- end }}
        {{- if .apiToken }}
        - name: api-token
          mountPath: /var/run/secrets/kubernetes.io/serviceaccount
          readOnly: true
        {{- end }}
      {{- end }}
  {{- if or $secretFiles $backupClaim .apiToken }}
  volumes:
    {{- if $secretFiles }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $secretFiles }}
          - secret:
              name: {{ .secret }}
              items:
                - key: {{ .key }}
                  path: {{ .file }}
          {{- end }}
    {{- end }}
    {{- if $backupClaim }}
    - name: backup
      persistentVolumeClaim:
        claimName: {{ $root.Values.backup.persistentVolumeClaim }}
    {{- end }}
    {{- if .apiToken }}
    - name: api-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: 3600
          - configMap:
              name: kube-root-ca.crt
              items:
                - key: ca.crt
                  path: ca.crt
    {{- end }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .job }}
  topologySpreadConstraints:
    {{- range $key, $when := dict "topology.kubernetes.io/zone" $root.Values.scheduling.zoneSpread "kubernetes.io/hostname" $root.Values.scheduling.nodeSpread }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: {{ $when }}
      # A zone whose nodes are all cordoned, or tainted for others, is none to spread over: it would keep the pods of a zone
      # that is drained pending, and their budget would stop the drain.
      nodeTaintsPolicy: Honor
      labelSelector:
        matchLabels:
          {{- include "jupiter.selectorLabels" $ | nindent 10 }}
      # Each revision is spread on its own, so that a rollout ends evenly.
      matchLabelKeys:
        - pod-template-hash
    {{- end }}
  {{- end }}
{{- end -}}
