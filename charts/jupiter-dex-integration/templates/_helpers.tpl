{{/*
Names, labels and derived settings. Helpers that speak of one component take (dict "root" $ "component" "api-gateway");
the component's values are found under the same name in camel case.
*/}}

{{- define "jupiter.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{- define "jupiter.fullname" -}}
{{- $name := include "jupiter.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- end -}}

{{/* The name of a component's objects. */}}
{{- define "jupiter.componentName" -}}
{{- printf "%s-%s" (include "jupiter.fullname" .root) .component -}}
{{- end -}}

{{/* The key of a component's values: api-gateway -> apiGateway. */}}
{{- define "jupiter.valuesKey" -}}
{{- camelcase . | untitle -}}
{{- end -}}

{{/* What a selector matches, and all that a pod is labelled with by us: nothing here changes with the chart's version. */}}
{{- define "jupiter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "jupiter.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* metadata of a namespaced object. "name" defaults to the component's name; "labels" and "annotations" are added. */}}
{{- define "jupiter.metadata" -}}
name: {{ .name | default (include "jupiter.componentName" .) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "jupiter.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/part-of: {{ include "jupiter.name" .root }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with .root.Values.global.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Whether a component is served by several pods: "true" or "". */}}
{{- define "jupiter.replicated" -}}
{{- $values := get .root.Values (include "jupiter.valuesKey" .component) -}}
{{- $autoscaling := $values.autoscaling | default dict -}}
{{- if gt (int64 (ternary $autoscaling.minReplicas $values.replicaCount (default false $autoscaling.enabled))) 1 -}}
true
{{- end -}}
{{- end -}}

{{/*
The most pods that a component may have. Each takes one part in so many of the shared limits until it has heard from
Redis: fewer parts would add up to more than the limit once the autoscaler has added pods.
*/}}
{{- define "jupiter.maxReplicas" -}}
{{- $values := get .root.Values (include "jupiter.valuesKey" .component) -}}
{{- $autoscaling := $values.autoscaling | default dict -}}
{{- include "jupiter.int" (ternary $autoscaling.maxReplicas $values.replicaCount (default false $autoscaling.enabled)) -}}
{{- end -}}

{{/* Whether the gateway needs the route optimizer: "true" or "". */}}
{{- define "jupiter.gatewayAsksOptimizer" -}}
{{- with .Values.apiGateway -}}
{{- if or (ne .upstreamMode "jupiter") .fallback.optimizer -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether the route optimizer betters Jupiter's quotes, so asks for them itself: "true" or "". */}}
{{- define "jupiter.optimized" -}}
{{- if and .Values.apiGateway.enabled (eq .Values.apiGateway.upstreamMode "optimized") -}}
true
{{- end -}}
{{- end -}}

{{/* Whether the route optimizer compares its quotes with the oracle's prices: "true" or "". */}}
{{- define "jupiter.optimizerAsksOracle" -}}
{{- if and .Values.priceOracle.enabled (ne .Values.routeOptimizer.priceGuard.mode "off") -}}
true
{{- end -}}
{{- end -}}

{{/*
Whether the oracle reads accounts from the RPC: Pyth's, and mints for their decimals, which only Jupiter tells besides.
"true" or "".
*/}}
{{- define "jupiter.oracleReadsChain" -}}
{{- with .Values.priceOracle.sources -}}
{{- if or (has "pyth" .) (has "optimizer" .) -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "jupiter.image" -}}
{{- $image := (get .root.Values (include "jupiter.valuesKey" .component)).image -}}
{{- printf "%s/%s:%s" .root.Values.global.imageRegistry $image.repository (default .root.Chart.AppVersion $image.tag) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* A number as an environment value. YAML numbers arrive as floats, and a large one would print as 1e+06. */}}
{{- define "jupiter.int" -}}
{{- int64 . | toString -}}
{{- end -}}

{{/* The URL of a component inside the cluster. */}}
{{- define "jupiter.url" -}}
{{- printf "%s://%s:8080" (ternary "https" "http" (eq (include "jupiter.tls" .) "true")) (include "jupiter.componentName" .) -}}
{{- end -}}

{{/*
The RPC's websockets, comma separated: those that values name, else by Solana's convention the RPC's own address, at the
port after the RPC's where one is stated.
*/}}
{{- define "jupiter.solanaWsUrl" -}}
{{- if .Values.global.solanaWsUrl -}}
{{- .Values.global.solanaWsUrl -}}
{{- else -}}
{{- $urls := list -}}
{{- range splitList "," .Values.global.solanaRpcUrl -}}
{{- $host := (urlParse .).host -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $host) -}}
{{- $next := ternary (printf "%s:%d" (trimSuffix (printf ":%s" $port) $host) (add1 $port)) $host (ne $port "") -}}
{{- $urls = append $urls (regexReplaceAll "^http" . "ws" | replace $host $next) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}
{{- end -}}

{{/* Where Redis is: {url, secret, key}; secret is empty when no password is set. */}}
{{- define "jupiter.redis" -}}
{{- if .Values.redis.enabled -}}
{{- $redis := dict "Values" .Values.redis "Release" .Release "Chart" (dict "Name" "redis") -}}
url: {{ printf "redis://%s-master:6379/0" (include "redis.fullname" $redis) }}
{{- if .Values.redis.auth.enabled }}
secret: {{ include "redis.secretName" $redis }}
key: {{ include "redis.secretPasswordKey" $redis }}
{{- end }}
{{- else -}}
{{- with .Values.externalRedis -}}
{{- $scheme := ternary "rediss" "redis" .tls.enabled -}}
{{- $user := empty .username | ternary "" (printf "%s@" .username) -}}
{{- $path := printf "/%d" (int64 .database) -}}
{{- $query := list -}}
{{- with .sentinel.master -}}
{{- $query = append $query (printf "master_name=%s" .) -}}
{{- end -}}
{{- range .nodes -}}
{{- $query = append $query (printf "addr=%s" .) -}}
{{- end -}}
{{- if .sentinel.master -}}
{{- if .username -}}
{{- $query = append $query (printf "username=%s" .username) -}}
{{- end -}}
{{- $user = "" -}}
{{- else if .nodes -}}
{{- $path = "" -}}
{{- end -}}
url: {{ printf "%s://%s%s:%d%s%s" $scheme $user .host (int64 .port) $path (empty $query | ternary "" (printf "?%s" (join "&" $query))) }}
urls:
  - {{ printf "%s://%s:%d" $scheme .host (int64 .port) }}
  {{- range concat .nodes .sentinel.servers }}
  - {{ printf "%s://%s" $scheme . }}
  {{- end }}
{{- with .tls.caSecret }}
ca: {{ . }}
{{- end }}
{{- if .existingSecret }}
secret: {{ .existingSecret }}
key: {{ .existingSecretPasswordKey }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secret that holds the Jupiter key and the RPC authorization; empty when no source is configured. */}}
{{- define "jupiter.secretName" -}}
{{- with .Values.secrets -}}
{{- if .existingSecret -}}
{{- .existingSecret -}}
{{- else if or .externalSecret.enabled .jupiterApiKey .solanaRpcAuth -}}
{{- include "jupiter.fullname" $ -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The key under which that Secret holds (dict "root" $ "secret" "jupiterApiKey"); empty when it holds none. */}}
{{- define "jupiter.secretKey" -}}
{{- $secrets := .root.Values.secrets -}}
{{- if or $secrets.existingSecret $secrets.externalSecret.enabled -}}
{{- get $secrets.keys .secret -}}
{{- else if get $secrets .secret -}}
{{- get $secrets.keys .secret | default (kebabcase .secret) -}}
{{- end -}}
{{- end -}}

{{/* UPSTREAMS, as the gateway reads it. */}}
{{- define "jupiter.upstreams" -}}
{{- $items := list -}}
{{- range . -}}
{{- $item := printf "%s=%s %s" .name .kind .url -}}
{{- if .secretKey -}}
{{- $item = printf "%s /run/secrets/jupiter-dex/upstream-%s" $item .name -}}
{{- end -}}
{{- if .quota -}}
{{- $item = printf "%s %s" $item (kindIs "string" .quota | ternary .quota (include "jupiter.int" .quota)) -}}
{{- end -}}
{{- $items = append $items $item -}}
{{- end -}}
{{- join "," $items -}}
{{- end -}}

{{/* Whether a component's API speaks TLS: "true" or "". */}}
{{- define "jupiter.tls" -}}
{{- if and (eq .component "api-gateway") .root.Values.apiGateway.tls.existingSecret -}}
true
{{- end -}}
{{- end -}}

{{/* The files a component reads secrets from: a list of {env, file, secret, key}; no env: the configuration names the file. */}}
{{- define "jupiter.secretFiles" -}}
{{- $gateway := eq .component "api-gateway" -}}
{{- $oracle := eq .component "price-oracle" -}}
{{- $jupiter := or (and $oracle (has "jupiter" .root.Values.priceOracle.sources)) (and $gateway (ne .root.Values.apiGateway.upstreamMode "optimizer")) (and (eq .component "route-optimizer") (include "jupiter.optimized" .root)) -}}
{{- $rpc := or (eq .component "route-optimizer") (and $oracle (include "jupiter.oracleReadsChain" .root)) -}}
{{- with and $jupiter (include "jupiter.secretKey" (dict "root" .root "secret" "jupiterApiKey")) }}
- {env: JUPITER_API_KEY_FILE, file: jupiter-api-key, secret: {{ include "jupiter.secretName" $.root }}, key: {{ . }}}
{{- end }}
{{- range ternary .root.Values.apiGateway.upstreams list $gateway }}
{{- if .secretKey }}
- {file: upstream-{{ .name }}, secret: {{ include "jupiter.secretName" $.root }}, key: {{ .secretKey }}}
{{- end }}
{{- end }}
{{- with and $gateway .root.Values.apiGateway.tls.existingSecret }}
- {env: TLS_CERT_FILE, file: tls.crt, secret: {{ . }}, key: tls.crt}
- {env: TLS_KEY_FILE, file: tls.key, secret: {{ . }}, key: tls.key}
{{- end }}
{{- with and $gateway (include "jupiter.secretKey" (dict "root" .root "secret" "clientKeys")) }}
- {env: CLIENT_KEYS_FILE, file: client-keys, secret: {{ include "jupiter.secretName" $.root }}, key: {{ . }}}
{{- end }}
{{- with and $rpc (include "jupiter.secretKey" (dict "root" .root "secret" "solanaRpcAuth")) }}
- {env: SOLANA_RPC_AUTH_FILE, file: solana-rpc-auth, secret: {{ include "jupiter.secretName" $.root }}, key: {{ . }}}
{{- end }}
{{- $redis := include "jupiter.redis" .root | fromYaml }}
{{- with $redis.secret }}
- {env: REDIS_PASSWORD_FILE, file: redis-password, secret: {{ . }}, key: {{ $redis.key }}}
{{- end }}
{{- with $redis.ca }}
- {env: REDIS_CA_FILE, file: redis-ca, secret: {{ . }}, key: ca.crt}
{{- end }}
{{- with and (eq .component "backup") .root.Values.backup.s3.existingSecret }}
- {env: BACKUP_S3_ACCESS_KEY_FILE, file: s3-access-key, secret: {{ . }}, key: access-key}
- {env: BACKUP_S3_SECRET_KEY_FILE, file: s3-secret-key, secret: {{ . }}, key: secret-key}
{{- end }}
{{- with and (eq .component "backup") (ne (.podComponent | default "") "recovery") .root.Values.backup.signing.existingSecret }}
- {env: BACKUP_SIGNING_KEY_FILE, file: signing-key, secret: {{ . }}, key: signing-key}
{{- end }}
{{- with and (eq (.podComponent | default "") "recovery") .root.Values.backup.recovery.identitySecret }}
- {env: BACKUP_AGE_IDENTITY_FILE, file: age-identity, secret: {{ . }}, key: age-identity}
{{- end }}
{{- end -}}

{{/*
The release's ConfigMaps and Secrets, those that somebody else makes for it included, as the backup names them: a list of
configmaps/NAME and secrets/NAME.
*/}}
{{- define "jupiter.objects" -}}
{{- $root := . -}}
{{- $objects := list -}}
{{- range $component := list "api-gateway" "price-oracle" "route-optimizer" "backup" -}}
{{- if (get $root.Values (include "jupiter.valuesKey" $component)).enabled -}}
{{- $context := dict "root" $root "component" $component -}}
{{- $objects = append $objects (printf "configmaps/%s" (include "jupiter.componentName" $context)) -}}
{{- range include "jupiter.secretFiles" $context | fromYamlArray -}}
{{- $objects = append $objects (printf "secrets/%s" .secret) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.monitoring.enabled .Values.monitoring.grafana.enabled -}}
{{- range $path, $_ := .Files.Glob "files/dashboards/*.json" -}}
{{- $objects = append $objects (printf "configmaps/%s-dashboard-%s" (include "jupiter.fullname" $root) (base $path | trimSuffix ".json")) -}}
{{- end -}}
{{- end -}}
{{- if .Values.redis.enabled -}}
{{- $redis := include "redis.fullname" (dict "Values" .Values.redis "Release" .Release "Chart" (dict "Name" "redis")) -}}
{{- range list "configuration" "scripts" "health" -}}
{{- $objects = append $objects (printf "configmaps/%s-%s" $redis .) -}}
{{- end -}}
{{- range .Values.redis.image.pullSecrets -}}
{{- $objects = append $objects (printf "secrets/%s" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.global.imagePullSecrets -}}
{{- $objects = append $objects (printf "secrets/%s" .) -}}
{{- end -}}
{{- uniq $objects | sortAlpha | toJson -}}
{{- end -}}

{{/* What a ServiceAccount may do to those objects: (dict "root" $ "component" "backup" "verbs" (list "get") "create" false) */}}
{{- define "jupiter.role" -}}
{{- $root := .root -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "jupiter.metadata" (dict "root" .root "component" .component "annotations" .root.Values.backup.serviceAccountAnnotations) | nindent 2 }}
automountServiceAccountToken: false
{{- if .verbs }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "jupiter.metadata" (pick . "root" "component") | nindent 2 }}
rules:
  {{- range $kind := list "configmaps" "secrets" }}
  {{- $names := list }}
  {{- range include "jupiter.objects" $root | fromJsonArray }}
  {{- if hasPrefix (printf "%s/" $kind) . }}
  {{- $names = append $names (base .) }}
  {{- end }}
  {{- end }}
  {{- with $names }}
  - apiGroups: [""]
    resources: [{{ $kind }}]
    resourceNames:
      {{- toYaml . | nindent 6 }}
    verbs:
      {{- toYaml $.verbs | nindent 6 }}
  {{- end }}
  {{- if $.create }}
  # What does not exist yet has no name that a Role could state.
  - apiGroups: [""]
    resources: [{{ $kind }}]
    verbs: [create]
  {{- end }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "jupiter.metadata" (pick . "root" "component") | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "jupiter.componentName" . }}
subjects:
  - kind: ServiceAccount
    name: {{ include "jupiter.componentName" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end -}}

{{/* A duration of whole seconds or minutes, in seconds. */}}
{{- define "jupiter.seconds" -}}
{{- ternary (mul (trimSuffix "m" .) 60) (trimSuffix "s" . | int64) (hasSuffix "m" .) -}}
{{- end -}}

{{/* 90 % of a memory quantity of whole Mi or Gi, in the form of GOMEMLIMIT. The rest is for what is not Go heap. */}}
{{- define "jupiter.goMemLimit" -}}
{{- $mebibytes := ternary (mul (trimSuffix "Gi" .) 1024) (trimSuffix "Mi" . | int64) (hasSuffix "Gi" .) -}}
{{- printf "%dMiB" (div (mul $mebibytes 90) 100) -}}
{{- end -}}
