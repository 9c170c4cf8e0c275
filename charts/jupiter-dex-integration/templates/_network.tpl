{{/*
What guards one component. (dict "root" $ "component" "api-gateway"
  "from"       peers that may call it, as NetworkPolicy has them
  "callers"    components that may call it
  "to"         URLs that it calls; empty ones are skipped
  "components" components that it calls
  "apiServer"  whether it calls the API server)
Redis is reached by every component but for "redis" false.
*/}}
{{- define "jupiter.networkPolicies" -}}
{{ include "jupiter.networkPolicy" . }}
{{- if .root.Values.networkPolicy.cilium.enabled }}
---
{{ include "jupiter.ciliumNetworkPolicy" . }}
{{- end }}
{{- end -}}

{{- define "jupiter.networkPolicy" -}}
{{- $root := .root -}}
{{- $monitoring := and $root.Values.monitoring.enabled $root.Values.monitoring.prometheus.enabled -}}
{{- $values := get $root.Values (include "jupiter.valuesKey" (.valuesOf | default .component)) -}}
{{- $callers := list -}}
{{- range .callers -}}
{{- if (get $root.Values (include "jupiter.valuesKey" (ternary "price-oracle" . (eq . "price-update")))).enabled -}}
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
    {{- with include "jupiter.egress" (dict "root" $root "urls" (include "jupiter.redis" $root | fromYaml).urls) }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- with include "jupiter.egress" (dict "root" $root "urls" (.to | default list)) }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if and .apiServer (not $root.Values.networkPolicy.cilium.enabled) }}
    - to:
        {{- toYaml $root.Values.networkPolicy.apiServer.peers | nindent 8 }}
      ports:
        {{- range $root.Values.networkPolicy.apiServer.ports }}
        - port: {{ int64 . }}
          protocol: TCP
        {{- end }}
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
{{- $host := (urlParse .).hostname }}
{{- $external := include "jupiter.externalHost" (dict "root" $root "url" .) }}
{{- if not (and $external $root.Values.networkPolicy.cilium.enabled) }}
- to:
    {{- if get $root.Values.networkPolicy.hosts $host }}
    {{- get $root.Values.networkPolicy.hosts $host | toYaml | nindent 4 }}
    {{- else if $external }}
    {{- range $root.Values.networkPolicy.external }}
    - ipBlock:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- else if regexMatch "^[0-9.]+$" $host }}
    - ipBlock:
        cidr: {{ $host }}/32
    {{- else if not (contains "." $host) }}
    - podSelector: {}
    {{- else }}
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ index (splitList "." $host) 1 }}
    {{- end }}
  ports:
    - port: {{ include "jupiter.port" . }}
      protocol: TCP
{{- end }}
{{- end }}
{{- end -}}

{{/* The host of (dict "root" $ "url" "https://api.jup.ag/swap/v1") when it is outside the cluster, else empty. */}}
{{- define "jupiter.externalHost" -}}
{{- $host := (urlParse .url).hostname -}}
{{- if and (contains "." $host) (not (regexMatch "^[0-9.]+$|^[^.]+[.][^.]+[.]svc([.]|$)" $host)) (not (get .root.Values.networkPolicy.hosts $host)) -}}
{{- $host -}}
{{- end -}}
{{- end -}}

{{/* The port of a URL, stated or its scheme's. */}}
{{- define "jupiter.port" -}}
{{- $url := urlParse . -}}
{{- $default := get (dict "http" 80 "ws" 80 "https" 443 "wss" 443 "redis" 6379 "rediss" 6379) $url.scheme -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default $default -}}
{{- end -}}

{{/*
What a NetworkPolicy cannot say: outside hosts by name. Added to the component's policy, which then leaves those out. The
names that the DNS proxy answers are the ones that the addresses are learnt from.
*/}}
{{- define "jupiter.ciliumNetworkPolicy" -}}
{{- $root := .root -}}
{{- $external := list -}}
{{- $urls := .to | default list -}}
{{- if ne .redis false -}}
{{- $urls = concat $urls ((include "jupiter.redis" $root | fromYaml).urls | default list) -}}
{{- end -}}
{{- range $urls | compact | uniq -}}
{{- if include "jupiter.externalHost" (dict "root" $root "url" .) -}}
{{- $external = append $external . -}}
{{- end -}}
{{- end -}}
{{- if or $external .apiServer -}}
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  {{- include "jupiter.metadata" (pick . "root" "component") | nindent 2 }}
spec:
  endpointSelector:
    matchLabels:
      {{- include "jupiter.selectorLabels" . | nindent 6 }}
  egress:
    - toEndpoints:
        - matchLabels:
            {{- toYaml $root.Values.networkPolicy.cilium.dns | nindent 12 }}
      toPorts:
        - ports:
            - port: "53"
              protocol: ANY
          rules:
            dns:
              - matchPattern: "*"
    {{- if .apiServer }}
    - toEntities:
        - kube-apiserver
    {{- end }}
    {{- range $external }}
    - toFQDNs:
        - matchName: {{ (urlParse .).hostname }}
      toPorts:
        - ports:
            - port: {{ include "jupiter.port" . | quote }}
              protocol: TCP
    {{- end }}
{{- end -}}
{{- end -}}
