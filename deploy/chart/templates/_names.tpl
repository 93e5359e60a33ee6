{{/* The name of the chart, or what replaces it. */}}
{{- define "vmguard.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of the objects. */}}
{{- define "vmguard.fullname" -}}
{{- $name := include "vmguard.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "vmguard.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "vmguard.account" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "vmguard.fullname" .) }}
{{- else }}
{{- required "serviceAccount.name is needed with serviceAccount.create=false: name the ServiceAccount" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The names that the generated files have as expressions. */}}
{{- define "vmguard.names" -}}
{{- $name := include "vmguard.fullname" . }}
{{- dict "namespace" (include "vmguard.namespace" .) "account" (include "vmguard.account" .) "service" $name "configuration" $name "lease" $name "watched" "" | toYaml }}
{{- end }}

{{/* The labels by which Service, Deployment and budget find the pods; they must never change. */}}
{{- define "vmguard.selector" -}}
app.kubernetes.io/name: {{ include "vmguard.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The labels of every object but the chart's version, which would restart the pods without need. */}}
{{- define "vmguard.podLabels" -}}
{{- $own := dict "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/component" "webhook" "app.kubernetes.io/part-of" "vmguard" "app.kubernetes.io/managed-by" .Release.Service }}
{{- mergeOverwrite (dict) .Values.commonLabels $own (include "vmguard.selector" . | fromYaml) | toYaml }}
{{- end }}

{{- define "vmguard.labels" -}}
{{ include "vmguard.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The metadata of an object with the name of the release; `more` is added to the name. */}}
{{- define "vmguard.metadata" -}}
name: {{ include "vmguard.fullname" .root }}{{ .more }}
namespace: {{ include "vmguard.namespace" .root | quote }}
labels:
  {{- include "vmguard.labels" .root | nindent 2 }}
{{- end }}

{{- define "vmguard.image" -}}
{{- $image := .Values.image }}
{{- $registry := ((.Values.global).image).registry | default $image.registry }}
{{- $path := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") }}
{{- if $image.digest }}{{ $path }}@{{ $image.digest }}{{ else }}{{ $path }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "vmguard.pullSecrets" -}}
{{- with concat (.Values.imagePullSecrets | default list) ((.Values.global).imagePullSecrets | default list) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The level of enforcement. In YAML 1.1 a bare `off` is false. */}}
{{- define "vmguard.enforce" -}}
{{- ternary "off" .Values.enforce (eq (toString .Values.enforce) "false") }}
{{- end }}

{{/* What a schema cannot say. */}}
{{- define "vmguard.check" -}}
{{- range $value := list "commonLabels" "podLabels" }}
{{- if hasKey (get $.Values $value) "managed-by" }}
{{- fail (printf "%s must not have managed-by: the API server would call vmguard before it creates vmguard's own pods" $value) }}
{{- end }}
{{- end }}
{{- if eq (int .Values.webhook.port) 8080 }}
{{- fail "webhook.port=8080 is the operations port: choose another port" }}
{{- end }}
{{- if and .Values.hostNetwork (eq (int .Values.webhook.port) 10250) }}
{{- fail "webhook.port=10250 is the port of the kubelet on the network of the node: choose another port, or hostNetwork=false" }}
{{- end }}
{{- if and (eq .Values.mode "audit") (eq .Values.webhook.failurePolicy "Fail") }}
{{- fail "webhook.failurePolicy=Fail with mode=audit would let a trial block pods: set mode=enforce, or leave failurePolicy empty" }}
{{- end }}
{{- if .Values.certManager.enabled }}
{{- $_ := required "certManager.issuerRef.name is needed with certManager.enabled=true: name an Issuer" .Values.certManager.issuerRef.name }}
{{- end }}
{{- end }}
