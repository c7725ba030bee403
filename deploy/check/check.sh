#!/usr/bin/env bash
# make deploy-check: what can be said of image, chart, manifests and rules without a cluster.
set -euo pipefail
cd "$(dirname "$0")/../.."

deploy/check/install.sh
PATH=$PWD/.venv/deploy/tools/bin:$PATH
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT

# Prints a line, and what a step says if it fails.
step() {
    local name=$1
    shift
    if "$@" >"$rendered/.log" 2>&1; then
        echo "ok    $name"
    else
        echo "FAIL  $name"
        cat "$rendered/.log"
        exit 1
    fi
}

# Kinds that clusters only have with an operator: their shape is tested in tests/deploy/test_chart.py.
without_schema='BackendTLSPolicy|ExternalSecret|HTTPRoute|PrometheusRule|ServiceMonitor'

schemas() {
    local said
    said=$(kubernetes-validate --strict -k "$1" "$2" 2>&1) || { echo "$said"; return 1; }
    said=$(grep WARN <<<"$said" | grep -Ev "for kind ($without_schema) ") || return 0
    echo "$said"
    return 1
}

step 'the Dockerfile is clean (hadolint)' hadolint deploy/Dockerfile
for file in deploy/values/*.yaml; do
    name=$(basename "$file" .yaml)
    step "lint: $name" helm lint --strict --quiet deploy/chart --values "$file"
    step "render: $name" helm template watchword deploy/chart --namespace auth --values "$file" \
        --output-dir "$rendered/$name"
    cat "$rendered/$name"/watchword/templates/*.yaml "$rendered/$name"/watchword/templates/*/*.yaml \
        >"$rendered/$name.yaml"
    for version in 1.26 1.30 1.37; do
        step "schemas of Kubernetes $version: $name" schemas $version.0 "$rendered/$name.yaml"
    done
done
step 'the plain manifests are fresh (make manifests)' deploy/manifests/render.sh --check
step 'policy (checkov)' .venv/deploy/checkov/bin/checkov --config-file deploy/check/checkov.yaml \
    --directory "$rendered"
step 'policy of the image (checkov)' .venv/deploy/checkov/bin/checkov \
    --config-file deploy/check/checkov.yaml --file deploy/Dockerfile

tests/install-servers.sh
if command -v promtool >/dev/null; then
    step 'rules (promtool)' promtool check rules deploy/chart/files/prometheus-rules.yaml
    for file in tests/deploy/*.test.yaml; do
        [ -e "$file" ] || continue
        step "rules, tried: $(basename "$file" .test.yaml)" promtool test rules "$file"
    done
else
    echo 'skip  rules: promtool is not installed (Debian: prometheus)'
fi
