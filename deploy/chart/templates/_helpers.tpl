{{- define "watchword.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "watchword.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "watchword.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "watchword.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "watchword.selector" -}}
{{ include "watchword.everyPod" . }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Every pod of the release: the service's and the test's. */}}
{{- define "watchword.everyPod" -}}
app.kubernetes.io/name: {{ include "watchword.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "watchword.labels" -}}
{{ include "watchword.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "watchword.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "watchword.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "watchword.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A duration as the service reads it, in seconds. */}}
{{- define "watchword.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexFind "[smhd]?$" . -}}
{{- mul $number (get (dict "" 1 "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end -}}

{{- define "watchword.host" -}}
{{- (urlParse .Values.issuer).host | splitList ":" | first -}}
{{- end -}}

{{- define "watchword.port" -}}
{{- .Values.listen | splitList ":" | last -}}
{{- end -}}

{{- define "watchword.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.existingSecret "") -}}
{{- end -}}

{{- define "watchword.servicePort" -}}
{{- default (ternary 443 80 (ne .Values.tls.existingSecret "")) .Values.service.port -}}
{{- end -}}

{{/* Paths that the outside reaches, under the issuer's; its metadata also where RFC 8414 §3.1 inserts that path. */}}
{{- define "watchword.paths" -}}
{{- $root := (urlParse .Values.issuer).path -}}
{{- $paths := list -}}
{{- range .Values.publicPaths -}}
{{- $paths = append $paths (printf "%s%s" $root .) -}}
{{- end -}}
{{- if and $root (has "/.well-known" .Values.publicPaths) -}}
{{- $paths = append $paths (printf "/.well-known/oauth-authorization-server%s" $root) -}}
{{- $paths = append $paths (printf "/.well-known/openid-configuration%s" $root) -}}
{{- end -}}
{{- toJson $paths -}}
{{- end -}}

{{/* A quantity of memory in MiB, rounded down. */}}
{{- define "watchword.mebibytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $bytes := get (dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0) $unit -}}
{{- divf (mulf (trimSuffix $unit $text | float64) $bytes) 1048576.0 | floor | int -}}
{{- end -}}

{{/* All that `watchword migrate` reads; the service and the test read it too. */}}
{{- define "watchword.leastEnv" -}}
- name: WATCHWORD_ISSUER
  value: {{ .Values.issuer | quote }}
- name: WATCHWORD_DATABASE_URL_FILE
  value: /run/secrets/watchword/database-url
- name: WATCHWORD_REDIS_URL_FILE
  value: /run/secrets/watchword/redis-url
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What the service and its test have in common. */}}
{{- define "watchword.env" -}}
{{- $service := include "watchword.fullname" . -}}
{{- $domain := printf "%s.%s" $service .Release.Namespace -}}
{{- $hosts := concat (list $service $domain (printf "%s.svc" $domain) (printf "%s.svc.cluster.local" $domain)) .Values.allowedHosts -}}
{{ include "watchword.leastEnv" . }}
- name: WATCHWORD_KEYS_DIR
  value: /run/secrets/watchword-keys
- name: WATCHWORD_LISTEN
  value: {{ .Values.listen | quote }}
- name: WATCHWORD_ALLOWED_HOSTS
  value: {{ $hosts | uniq | join "," | quote }}
{{- with .Values.trustedProxies }}
- name: WATCHWORD_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: WATCHWORD_TLS_CERTIFICATE
  value: /run/secrets/watchword-tls/tls.crt
- name: WATCHWORD_TLS_PRIVATE_KEY
  value: /run/secrets/watchword-tls/tls.key
{{- end }}
{{- if .Values.pkcs11.module }}
- name: WATCHWORD_PKCS11_MODULE
  value: {{ .Values.pkcs11.module | quote }}
- name: WATCHWORD_PKCS11_TOKEN
  value: {{ .Values.pkcs11.token | quote }}
- name: WATCHWORD_PKCS11_PIN_FILE
  value: /run/secrets/watchword-pkcs11/pin
{{- end }}
- name: WATCHWORD_DRAIN
  value: {{ .Values.drain | quote }}
- name: WATCHWORD_GRACE
  value: {{ .Values.grace | quote }}
{{- range $name, $value := .Values.settings }}
- name: WATCHWORD_{{ upper $name }}
  value: {{ include "watchword.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A setting as the service reads it: YAML makes a truth of `yes`, and 1e+06 of a million. */}}
{{- define "watchword.text" -}}
{{- if kindIs "bool" . -}}
{{- ternary "yes" "no" . -}}
{{- else if kindIs "float64" . -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "watchword.leastMounts" -}}
- name: secrets
  mountPath: /run/secrets/watchword
  readOnly: true
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "watchword.mounts" -}}
{{ include "watchword.leastMounts" . }}
- name: master-keys
  mountPath: /run/secrets/watchword-keys
  readOnly: true
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /run/secrets/watchword-tls
  readOnly: true
{{- end }}
{{- if .Values.pkcs11.module }}
- name: pkcs11
  mountPath: /run/secrets/watchword-pkcs11
  readOnly: true
{{- end }}
{{- end -}}

{{/* Files are the pod's group's to read and nobody's to write: the service refuses what everybody can read. */}}
{{- define "watchword.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .Values.database.existingSecret }}
          items: [{key: {{ .Values.database.key | quote }}, path: database-url}]
      - secret:
          name: {{ .Values.redis.existingSecret }}
          items: [{key: {{ .Values.redis.key | quote }}, path: redis-url}]
- name: master-keys
  secret:
    secretName: {{ .Values.masterKeys.existingSecret }}
    defaultMode: 0440
{{- if .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if .Values.pkcs11.module }}
- name: pkcs11
  secret:
    secretName: {{ .Values.pkcs11.existingSecret }}
    defaultMode: 0440
    items: [{key: {{ .Values.pkcs11.key | quote }}, path: pin}]
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "watchword.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What no schema can say: combinations that would install and not work. */}}
{{- define "watchword.check" -}}
{{- $issuer := urlParse .Values.issuer -}}
{{- if not $issuer.host -}}
{{- fail "issuer: set the public base URL, such as https://auth.example.com" -}}
{{- end -}}
{{- if and (ne $issuer.scheme "https") (not (has (include "watchword.host" .) (list "localhost" "127.0.0.1"))) -}}
{{- fail (printf "issuer: %s must begin with https://" .Values.issuer) -}}
{{- end -}}
{{- if or $issuer.query $issuer.fragment (hasSuffix "/" .Values.issuer) -}}
{{- fail (printf "issuer: %s must end in its host or path, without slash, ? or #" .Values.issuer) -}}
{{- end -}}
{{- if or (not (regexMatch "^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~-]+)*$" .Values.issuer)) (regexMatch "^https://[^/]*:443(/|$)|\\.\\.|/\\./|/\\.$" .Values.issuer) -}}
{{- fail (printf "issuer: %s is not as plain as the service wants it: a host in lower case, no default port, a path of letters, digits, . _ ~ and -" .Values.issuer) -}}
{{- end -}}
{{- if and .Values.pkcs11.module (not (and .Values.pkcs11.token .Values.pkcs11.existingSecret)) -}}
{{- fail "pkcs11: a module needs the token's label and the Secret with its PIN: pkcs11.token, pkcs11.existingSecret" -}}
{{- end -}}
{{- range $name, $_ := .Values.podLabels -}}
{{- if hasKey (include "watchword.selector" $ | fromYaml) $name -}}
{{- fail (printf "podLabels: %s is a label that the pods are found by" $name) -}}
{{- end -}}
{{- end -}}
{{- range splitList "," .Values.listen -}}
{{- if ne (splitList ":" . | last) (include "watchword.port" $) -}}
{{- fail (printf "listen: %s: a pod has one port, at all of its addresses" $.Values.listen) -}}
{{- end -}}
{{- end -}}
{{- $memory := int (default 19 .Values.settings.password_memory_mib) -}}
{{- if lt (mul $memory (int (default 2 .Values.settings.password_passes))) 38 -}}
{{- fail "settings: one of password_passes needs password_memory_mib of at least 38" -}}
{{- end -}}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) (not .Values.tls.existingSecret) (not .Values.trustedProxies) -}}
{{- fail "trustedProxies: name the network of the proxy that ends TLS (mostly the pods'), or every request is answered 400; or let the pods end TLS: tls.existingSecret" -}}
{{- end -}}
{{- if and .Values.httpRoute.backendTLS.enabled (not .Values.tls.existingSecret) -}}
{{- fail "httpRoute.backendTLS: the pods don't end TLS: set tls.existingSecret, or switch it off" -}}
{{- end -}}
{{- with .Values.resources.limits -}}
{{- if .memory -}}
{{- $hashes := mul (int (default 1 $.Values.settings.password_hashes)) $memory -}}
{{- $needed := add 128 $hashes -}}
{{- if lt (include "watchword.mebibytes" .memory | int) (int $needed) -}}
{{- fail (printf "resources.limits.memory: %s is too little: a pod takes 128Mi, and %dMi for password hashes (password_hashes × password_memory_mib)" (toString .memory) $hashes) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route hangs on" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling: minReplicas is greater than maxReplicas" -}}
{{- end -}}
{{- if .Values.externalSecrets.enabled -}}
{{- if not .Values.externalSecrets.secretStoreRef.name -}}
{{- fail "externalSecrets.secretStoreRef.name: name the store" -}}
{{- end -}}
{{- range $name, $key := .Values.externalSecrets.remoteKeys -}}
{{- if and (not $key) (or (ne $name "migrations") $.Values.migrations.enabled) -}}
{{- fail (printf "externalSecrets.remoteKeys.%s: say what the store calls it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
