#!/usr/bin/env bash
# watchword.yaml: the chart as plain manifests, for those without Helm. --check: is it fresh?
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/check/install.sh
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
{
    echo '# Rendered from deploy/chart by deploy/manifests/render.sh; kubectl apply -n auth -f takes it.'
    # The test is a hook of Helm's; labels that name Helm would mislead.
    .venv/deploy/tools/bin/helm template watchword deploy/chart --namespace auth --skip-tests \
        --values deploy/manifests/values.yaml |
        grep -Ev 'helm.sh/chart:|app.kubernetes.io/managed-by: Helm|^# Source: '
} >"$fresh"
if [ "${1:-}" = --check ]; then
    diff -u deploy/manifests/watchword.yaml "$fresh"
else
    cp "$fresh" deploy/manifests/watchword.yaml
fi
