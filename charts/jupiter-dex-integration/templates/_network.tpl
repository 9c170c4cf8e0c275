{{/*
The policy of one component. (dict "root" $ "component" "api-gateway"
  "from"       peers that may call it, as NetworkPolicy has them
  "callers"    components that may call it
  "to"         URLs that it calls; empty ones are skipped
  "components" components that it calls)
Redis is reached by every component but for "redis" false.
*/}}
{{- define "jupiter.networkPolicy" -}}
{{- $root := .root -}}
{{- $monitoring := and $root.Values.monitoring.enabled $root.Values.monitoring.prometheus.enabled -}}
{{- $values := get $root.Values (include "jupiter.valuesKey" (.valuesOf | default .component)) -}}
{{- $callers := list -}}
{{- range .callers -}}
{{- if (get $root.Values (include "jupiter.valuesKey" .)).enabled -}}
{{- $callers = append $callers . -}}
{{- end -}}
{{- end -}}
{{- $server := or .callers .from -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "jupiter.metadata" (pick . "root" "component") | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "jupiter.selectorLabels" . | nindent 6 }}
  policyTypes:
    - Ingress
    - Egress
  {{- if or .from $callers (and $server $monitoring) }}
  ingress:
    {{- if or .from $callers }}
    - from:
        {{- with .from }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- range $callers }}
        - podSelector:
            matchLabels:
              {{- include "jupiter.selectorLabels" (dict "root" $root "component" .) | nindent 14 }}
        {{- end }}
      ports:
        - port: http
          protocol: TCP
    {{- end }}
    {{- if and $server $monitoring }}
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $root.Values.monitoring.prometheus.namespace }}
      ports:
        - port: metrics
          protocol: TCP
    {{- end }}
  {{- end }}
  egress:
    - to:
        {{- toYaml $root.Values.networkPolicy.dns | nindent 8 }}
      ports:
        - port: 53
          protocol: UDP
        - port: 53
          protocol: TCP
    {{- range .components }}
    {{- if (get $root.Values (include "jupiter.valuesKey" .)).enabled }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "jupiter.selectorLabels" (dict "root" $root "component" .) | nindent 14 }}
      ports:
        - port: 8080
          protocol: TCP
    {{- end }}
    {{- end }}
    {{- if ne .redis false }}
    {{- if $root.Values.redis.enabled }}
    - to:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ include "redis.name" (dict "Values" $root.Values.redis "Chart" (dict "Name" "redis")) }}
              app.kubernetes.io/instance: {{ $root.Release.Name }}
      ports:
        - port: 6379
          protocol: TCP
    {{- else }}
    {{- include "jupiter.egress" (dict "root" $root "urls" (list (include "jupiter.redis" $root | fromYaml).url)) | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with include "jupiter.egress" (dict "root" $root "urls" (.to | default list)) }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $values.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
One egress rule per URL, by what its host is:
  one that networkPolicy.hosts names    what it says there
  an IPv4 address                       that address
  a name without a dot                  the pods of the release's namespace
  <service>.<namespace>.svc[.<domain>]  the pods of that namespace
  any other name                        networkPolicy.external
A policy is judged after a Service's port became the pod's: inside the cluster the two must be equal.
*/}}
{{- define "jupiter.egress" -}}
{{- $root := .root -}}
{{- range .urls | compact | uniq }}
{{- $url := urlParse . }}
{{- $default := get (dict "http" 80 "ws" 80 "https" 443 "wss" 443 "redis" 6379 "rediss" 6379) $url.scheme }}
- to:
    {{- if get $root.Values.networkPolicy.hosts $url.hostname }}
    {{- get $root.Values.networkPolicy.hosts $url.hostname | toYaml | nindent 4 }}
    {{- else if regexMatch "^[0-9.]+$" $url.hostname }}
    - ipBlock:
        cidr: {{ $url.hostname }}/32
    {{- else if not (contains "." $url.hostname) }}
    - podSelector: {}
    {{- else if regexMatch "^[^.]+[.][^.]+[.]svc([.]|$)" $url.hostname }}
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ index (splitList "." $url.hostname) 1 }}
    {{- else }}
    {{- range $root.Values.networkPolicy.external }}
    - ipBlock:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- end }}
  ports:
    - port: {{ regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default $default }}
      protocol: TCP
{{- end }}
{{- end -}}
