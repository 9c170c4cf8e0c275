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
{{- with .Values.global.tracing }}
{{- if .otlpEndpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .otlpEndpoint | quote }}
OTEL_TRACES_SAMPLER_ARG: {{ .sampleRatio | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "jupiter.config.api-gateway" -}}
{{- $values := .Values.apiGateway -}}
{{ include "jupiter.config.server" . }}
{{ include "jupiter.config.redis" . }}
UPSTREAM_MODE: {{ $values.upstreamMode | quote }}
{{- if ne $values.upstreamMode "optimizer" }}
{{ include "jupiter.config.jupiter" . }}
{{- with $values.upstreams }}
UPSTREAMS: {{ include "jupiter.upstreams" . | quote }}
{{- end }}
OPTIMIZER_FALLBACK: {{ $values.fallback.optimizer | quote }}
{{- end }}
{{- if include "jupiter.gatewayAsksOptimizer" . }}
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
RATE_LIMIT_REPLICAS: {{ include "jupiter.maxReplicas" (dict "root" . "component" "api-gateway") | quote }}
{{- with $values.rateLimiting.routes }}
RATE_LIMIT_ROUTES: {{ include "jupiter.routeLimits" . | quote }}
{{- end }}
RATE_LIMIT_SHADOW: {{ $values.rateLimiting.shadow | quote }}
CLIENT_KEYS_REQUIRED: {{ $values.clientKeysRequired | quote }}
{{- with $values.trustedProxies }}
TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
QUOTE_CACHE_TTL: {{ $values.quoteCache.ttl | quote }}
QUOTE_CACHE_MAX_AGE: {{ $values.quoteCache.maxAge | quote }}
LEGACY_QUOTES: {{ $values.legacyQuotes | quote }}
CORS_ALLOW_ORIGIN: {{ $values.corsAllowOrigin | quote }}
{{- end -}}

{{- define "jupiter.config.price-oracle" -}}
{{- $values := .Values.priceOracle -}}
{{ include "jupiter.config.server" . }}
{{ include "jupiter.config.redis" . }}
PRICE_TOKENS: {{ include "jupiter.mapValues" $values.tokens | quote }}
PRICE_SOURCES: {{ join "," $values.sources | quote }}
PRICE_MIN_SOURCES: {{ include "jupiter.int" $values.minSources | quote }}
{{- with $values.pegs }}
PRICE_PEGS: {{ include "jupiter.byMint" (dict "tokens" $values.tokens "map" .) | quote }}
{{- end }}
UPDATE_INTERVAL: {{ $values.refreshInterval | quote }}
{{- if has "jupiter" $values.sources }}
{{ include "jupiter.config.jupiter" . }}
{{- end }}
{{- if has "optimizer" $values.sources }}
ROUTE_OPTIMIZER_URL: {{ include "jupiter.url" (dict "root" . "component" "route-optimizer") | quote }}
PRICE_QUOTE_MINT: {{ get $values.tokens $values.quoteToken | quote }}
{{- end }}
{{- if has "pyth" $values.sources }}
PRICE_PYTH_FEEDS: {{ include "jupiter.byMint" (dict "tokens" $values.tokens "map" $values.pythFeeds) | quote }}
{{- end }}
{{- if include "jupiter.oracleReadsChain" . }}
SOLANA_RPC_URL: {{ .Values.global.solanaRpcUrl | quote }}
{{- end }}
{{- end -}}

{{/* Where Jupiter is, and what it allows. */}}
{{- define "jupiter.config.jupiter" -}}
{{- with .Values.global -}}
JUPITER_API_URL: {{ .jupiterApiUrl | quote }}
{{- with .jupiterPlan }}
JUPITER_PLAN: {{ . | quote }}
{{- end }}
{{- with .jupiterRequestsPerMinute }}
JUPITER_REQUESTS_PER_MINUTE: {{ include "jupiter.int" . | quote }}
{{- end }}
{{- end -}}
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
LIQUIDITY_TEST_SOL: {{ $values.optimization.liquidityTest | quote }}
CACHE_ENABLED: {{ $values.cache.enabled | quote }}
CACHE_TTL: {{ printf "%ds" (int64 $values.cache.ttl) | quote }}
{{ include "jupiter.config.redis" . }}
{{- if include "jupiter.optimized" . }}
{{ include "jupiter.config.jupiter" . }}
JUPITER_VARIANTS: {{ include "jupiter.int" $values.optimization.variants | quote }}
{{- end }}
{{- if include "jupiter.optimizerAsksOracle" . }}
PRICE_ORACLE_URL: {{ include "jupiter.url" (dict "root" . "component" "price-oracle") | quote }}
PRICE_GUARD: {{ $values.priceGuard.mode }}
PRICE_GUARD_BPS: {{ include "jupiter.int" $values.priceGuard.bps | quote }}
{{- end }}
{{- end -}}

{{- define "jupiter.config.backup" -}}
{{- $values := .Values.backup -}}
{{ include "jupiter.config.common" . }}
{{ include "jupiter.config.redis" . }}
BACKUP_AGE_RECIPIENT: {{ join "," $values.ageRecipients | quote }}
{{- if $values.objects.enabled }}
BACKUP_OBJECTS: {{ include "jupiter.objects" . | fromJsonArray | join "," | quote }}
{{- end }}
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

{{/* (dict "tokens" name: mint  "map" name: value) as mint=value, comma separated, in the order of the names. */}}
{{- define "jupiter.byMint" -}}
{{- $out := list -}}
{{- range $name, $value := .map -}}
{{- $out = append $out (printf "%s=%v" (get $.tokens $name) $value) -}}
{{- end -}}
{{- join "," $out -}}
{{- end -}}

{{/* Limits of routes as name=requestsPerMinute/burstSize, comma separated, in the order of the names. */}}
{{- define "jupiter.routeLimits" -}}
{{- $out := list -}}
{{- range $name, $limit := . -}}
{{- $out = append $out (printf "%s=%d/%d" $name (int64 $limit.requestsPerMinute) (int64 $limit.burstSize)) -}}
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
