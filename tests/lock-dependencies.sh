#!/usr/bin/env bash
# make lock: the lock files with hashes, so that plain pip installs just these. -U: newest versions.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-python3}" -m venv "$tool"
"$tool/bin/pip" install -q uv

lock() {
    "$tool/bin/uv" pip compile -q --universal --fork-strategy fewest --python-version 3.11 \
        --no-strip-extras --generate-hashes --custom-compile-command 'make lock' "$@"
}
lock "$@" pyproject.toml --extra dev --group tools -o requirements-dev.txt
lock "$@" pyproject.toml -c requirements-dev.txt -o requirements.txt
lock "$@" --group build -c requirements-dev.txt -o deploy/image/requirements-build.txt
lock "$@" deploy/check/tools.in -o deploy/check/tools.txt
lock "$@" deploy/check/checkov.in -o deploy/check/checkov.txt
