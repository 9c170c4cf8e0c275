{{/* (dict "root" $ "component" "master" "suffix" "-master" "replicas" 1) */}}
{{- define "redis.statefulset" -}}
{{- $root := .root -}}
{{- $values := get $root.Values .component -}}
{{- $auth := $root.Values.auth.enabled -}}
{{- $claim := $values.persistence.existingClaim -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "redis.metadata" . | nindent 2 }}
spec:
  replicas: {{ .replicas }}
  serviceName: {{ include "redis.fullname" $root }}-headless
  selector:
    matchLabels:
      {{- include "redis.selectorLabels" . | nindent 6 }}
  updateStrategy:
    type: RollingUpdate
  template:
    metadata:
      labels:
        {{- include "redis.selectorLabels" . | nindent 8 }}
      annotations:
        checksum/configuration: {{ list (include "redis.conf" .) ($root.Files.Get "files/start.sh") ($root.Files.Get "files/ping.sh") | toJson | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "redis.serviceAccountName" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with concat $root.Values.global.imagePullSecrets $root.Values.image.pullSecrets | uniq }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: {{ int64 $values.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 1001
        runAsGroup: 1001
        fsGroup: 1001
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: redis
          image: {{ include "redis.image" (dict "root" $root "image" $root.Values.image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command:
            - sh
            - /opt/redis/scripts/start.sh
            - /opt/redis/configuration/{{ .component }}.conf
            {{- with $values.extraFlags }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: redis
              containerPort: 6379
              protocol: TCP
          startupProbe:
            exec:
              command: [sh, /opt/redis/health/ping.sh, ready]
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 150
          readinessProbe:
            exec:
              command: [sh, /opt/redis/health/ping.sh, ready]
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 3
          livenessProbe:
            exec:
              command: [sh, /opt/redis/health/ping.sh, alive]
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 5
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "redis.securityContext" . | nindent 12 }}
          volumeMounts:
            - name: redis-data
              mountPath: /data
            - name: run
              mountPath: /run/redis
            - name: configuration
              mountPath: /opt/redis/configuration
              readOnly: true
            - name: scripts
              mountPath: /opt/redis/scripts
              readOnly: true
            - name: health
              mountPath: /opt/redis/health
              readOnly: true
            {{- if $auth }}
            - name: password
              mountPath: /run/secrets/redis
              readOnly: true
            {{- end }}
        {{- with $root.Values.metrics }}
        {{- if .enabled }}
        - name: metrics
          image: {{ include "redis.image" (dict "root" $root "image" .image) }}
          imagePullPolicy: {{ .image.pullPolicy }}
          env:
            - name: REDIS_ADDR
              value: redis://127.0.0.1:6379
            {{- if $auth }}
            - name: REDIS_PASSWORD
              valueFrom:
                secretKeyRef:
                  name: {{ include "redis.secretName" $root }}
                  key: {{ include "redis.secretPasswordKey" $root }}
            {{- end }}
          ports:
            - name: metrics
              containerPort: 9121
              protocol: TCP
          startupProbe:
            httpGet: {path: /health, port: metrics}
            periodSeconds: 2
            failureThreshold: 30
          readinessProbe:
            httpGet: {path: /health, port: metrics}
            periodSeconds: 10
          livenessProbe:
            tcpSocket: {port: metrics}
            periodSeconds: 10
            failureThreshold: 3
          resources:
            {{- toYaml .resources | nindent 12 }}
          securityContext:
            {{- include "redis.securityContext" . | nindent 12 }}
        {{- end }}
        {{- end }}
      volumes:
        - name: run
          emptyDir:
            medium: Memory
            sizeLimit: 1Mi
        - name: configuration
          configMap:
            name: {{ include "redis.fullname" $root }}-configuration
        - name: scripts
          configMap:
            name: {{ include "redis.fullname" $root }}-scripts
        - name: health
          configMap:
            name: {{ include "redis.fullname" $root }}-health
        {{- if $auth }}
        - name: password
          secret:
            secretName: {{ include "redis.secretName" $root }}
            defaultMode: 0440
            items:
              - key: {{ include "redis.secretPasswordKey" $root }}
                path: password
        {{- end }}
        {{- if not $values.persistence.enabled }}
        - name: redis-data
          emptyDir: {}
        {{- else if $claim }}
        - name: redis-data
          persistentVolumeClaim:
            claimName: {{ $claim }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        - topologyKey: kubernetes.io/hostname
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "redis.selectorLabels" . | nindent 14 }}
  {{- if and $values.persistence.enabled (not $claim) }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: redis-data
        # Immutable after creation: nothing here may change with a version.
        labels:
          {{- include "redis.selectorLabels" . | nindent 10 }}
      spec:
        accessModes:
          {{- toYaml $values.persistence.accessModes | nindent 10 }}
        resources:
          requests:
            storage: {{ $values.persistence.size }}
        {{- with $values.persistence.storageClass | default $root.Values.global.storageClass }}
        storageClassName: {{ . | quote }}
        {{- end }}
  {{- end }}
{{- end -}}

{{/* (dict "root" $ "component" "master" "suffix" "-master") */}}
{{- define "redis.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "redis.metadata" . | nindent 2 }}
spec:
  type: ClusterIP
  {{- if .headless }}
  clusterIP: None
  {{- end }}
  selector:
    {{- include "redis.selectorLabels" . | nindent 4 }}
  ports:
    - name: tcp-redis
      port: 6379
      targetPort: redis
      protocol: TCP
{{- end -}}

{{- define "redis.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop:
    - ALL
seccompProfile:
  type: RuntimeDefault
{{- end -}}
