#!/usr/bin/env bash
# Known vulnerabilities of the locked packages. A finding fails; a database of vulnerabilities that
# can't be asked from here prints a line and passes.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if .venv/bin/pip-audit --disable-pip --require-hashes --requirement requirements-dev.txt \
    --timeout 10 --progress-spinner off --format json --output "$folder/report" 2>"$folder/log"; then
    status=0
else
    status=$?
fi

if [ ! -s "$folder/report" ]; then
    reason=$(grep -v '^[[:space:]]*$' "$folder/log" | tail -n 1)
    if grep -Eiq 'could not connect|connectionerror|timed? ?out|serviceerror|httperror|network' "$folder/log"; then
        echo "vulnerabilities: not asked, the database is out of reach: ${reason:0:100}"
        exit 0
    fi
    echo "vulnerabilities: pip-audit failed: $reason"
    exit 1
fi

.venv/bin/python - "$folder/report" <<'PYTHON'
import json
import pathlib
import sys

packages = json.loads(pathlib.Path(sys.argv[1]).read_text())["dependencies"]
unknown = [package["name"] for package in packages if "skip_reason" in package]
print(f"vulnerabilities: {len(packages) - len(unknown)} packages asked, {len(unknown)} not to be had")
for package in packages:
    for found in package.get("vulns", []):
        fixed = ", ".join(found["fix_versions"]) or "no version"
        print(f"  {package['name']} {package['version']}: {found['id']}, fixed in {fixed}")
PYTHON
exit "$status"
