{{/*
The environment of each component, the whole data of its ConfigMap. The pods carry its checksum, so that a change
restarts the component that it concerns and no other.
*/}}

{{- define "jupiter.config" -}}
{{- include (printf "jupiter.config.%s" .component) .root -}}
{{- end -}}

{{- define "jupiter.config.common" -}}
LOG_LEVEL: {{ .Values.global.logLevel | quote }}
{{- end -}}

{{- define "jupiter.config.redis" -}}
REDIS_URL: {{ (include "jupiter.redis" . | fromYaml).url | quote }}
{{- end -}}

{{- define "jupiter.config.server" -}}
{{ include "jupiter.config.common" . }}
NETWORK: {{ .Values.global.environment | quote }}
LISTEN_ADDRESS: ":8080"
METRICS_ADDRESS: ":9090"
# The preStop sleep is the delay: the process still serves while the endpoints forget it.
SHUTDOWN_DELAY: 0s
DRAIN_TIMEOUT: {{ printf "%ds" (int64 .Values.shutdown.drainTimeoutSeconds) | quote }}
{{- end -}}

{{- define "jupiter.config.api-gateway" -}}
{{- $values := .Values.apiGateway -}}
{{ include "jupiter.config.server" . }}
{{ include "jupiter.config.redis" . }}
UPSTREAM_MODE: {{ $values.upstreamMode | quote }}
{{- if eq $values.upstreamMode "jupiter" }}
JUPITER_API_URL: {{ .Values.global.jupiterApiUrl | quote }}
{{- end }}
{{- if .Values.routeOptimizer.enabled }}
ROUTE_OPTIMIZER_URL: {{ include "jupiter.url" (dict "root" . "component" "route-optimizer") | quote }}
{{- end }}
{{- if .Values.priceOracle.enabled }}
PRICE_ORACLE_URL: {{ include "jupiter.url" (dict "root" . "component" "price-oracle") | quote }}
{{- end }}
CIRCUIT_BREAKER_ENABLED: {{ $values.circuitBreaker.enabled | quote }}
CIRCUIT_BREAKER_FAILURE_THRESHOLD: {{ include "jupiter.int" $values.circuitBreaker.failureThreshold | quote }}
CIRCUIT_BREAKER_TIMEOUT: {{ $values.circuitBreaker.timeout | quote }}
CIRCUIT_BREAKER_RESET_TIMEOUT: {{ $values.circuitBreaker.resetTimeout | quote }}
RATE_LIMIT_ENABLED: {{ $values.rateLimiting.enabled | quote }}
RATE_LIMIT_REQUESTS_PER_MINUTE: {{ include "jupiter.int" $values.rateLimiting.requestsPerMinute | quote }}
RATE_LIMIT_BURST_SIZE: {{ include "jupiter.int" $values.rateLimiting.burstSize | quote }}
CORS_ALLOW_ORIGIN: {{ $values.corsAllowOrigin | quote }}
{{- end -}}

{{- define "jupiter.config.price-oracle" -}}
{{ include "jupiter.config.server" . }}
{{ include "jupiter.config.redis" . }}
JUPITER_API_URL: {{ .Values.global.jupiterApiUrl | quote }}
PRICE_TOKENS: {{ include "jupiter.mapValues" .Values.priceOracle.tokens | quote }}
UPDATE_INTERVAL: {{ .Values.priceOracle.refreshInterval | quote }}
{{- end -}}

{{- define "jupiter.config.route-optimizer" -}}
{{- $values := .Values.routeOptimizer -}}
{{ include "jupiter.config.server" . }}
SOLANA_RPC_URL: {{ .Values.global.solanaRpcUrl | quote }}
SOLANA_WS_URL: {{ include "jupiter.solanaWsUrl" . | quote }}
POOLS: {{ include "jupiter.mapValues" $values.pools | quote }}
{{- with $values.programIds }}
AMM_PROGRAM_IDS: {{ include "jupiter.mapPairs" . | quote }}
{{- end }}
MAX_ROUTES: {{ include "jupiter.int" $values.optimization.maxRoutes | quote }}
SLIPPAGE_TOLERANCE_PERCENT: {{ $values.optimization.slippageTolerance | quote }}
PRIORITY_FEE_MULTIPLIER: {{ $values.optimization.priorityFeeMultiplier | quote }}
CACHE_ENABLED: {{ $values.cache.enabled | quote }}
CACHE_TTL: {{ printf "%ds" (int64 $values.cache.ttl) | quote }}
{{- end -}}

{{- define "jupiter.config.backup" -}}
{{- $values := .Values.backup -}}
{{ include "jupiter.config.common" . }}
{{ include "jupiter.config.redis" . }}
BACKUP_AGE_RECIPIENT: {{ join "," $values.ageRecipients | quote }}
BACKUP_REDIS_PREFIXES: {{ join "," $values.redisPrefixes | quote }}
BACKUP_KEEP: {{ include "jupiter.int" $values.keep | quote }}
BACKUP_TIMEOUT: {{ $values.timeout | quote }}
{{- if $values.persistentVolumeClaim }}
BACKUP_DESTINATION: file:///backup
{{- else }}
BACKUP_DESTINATION: {{ printf "s3://%s/%s" $values.s3.bucket $values.s3.prefix | quote }}
BACKUP_S3_ENDPOINT: {{ $values.s3.endpoint | quote }}
BACKUP_S3_REGION: {{ $values.s3.region | quote }}
{{- end }}
{{- end -}}

{{/* A map as name:value, comma separated, in the order of its keys. */}}
{{- define "jupiter.mapPairs" -}}
{{- $out := list -}}
{{- range $name, $value := . -}}
{{- $out = append $out (printf "%s:%s" $name $value) -}}
{{- end -}}
{{- join "," $out -}}
{{- end -}}

{{/* The values of a map in the order of its keys, comma separated, each once. */}}
{{- define "jupiter.mapValues" -}}
{{- $map := . -}}
{{- $out := list -}}
{{- range keys $map | sortAlpha -}}
{{- $out = append $out (get $map .) -}}
{{- end -}}
{{- uniq $out | join "," -}}
{{- end -}}

{{- define "jupiter.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "jupiter.metadata" . | nindent 2 }}
data:
  {{- include "jupiter.config" . | fromYaml | toYaml | nindent 2 }}
{{- end -}}
