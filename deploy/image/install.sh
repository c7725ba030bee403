#!/bin/sh
# install.sh FOLDER: Watchword with all that it runs on, in a virtual environment at FOLDER.
# The image's build stage runs it, and so can anybody without an image. Needs Python 3.11 to 3.13 and
# a package index; everything is checked against the locks' hashes, and no package is compiled.
set -eu

target=${1:?usage: install.sh FOLDER}
source=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip() { "$python" -m pip --disable-pip-version-check --no-cache-dir --quiet "$@"; }

# Nothing of the builder's own stays behind: neither pip nor what makes the wheel.
"$python" -m venv --without-pip "$target"
"$python" -m venv "$work/build"
python="$work/build/bin/python"
pip install --require-hashes --only-binary :all: -r "$source/deploy/image/requirements-build.txt"

mkdir "$work/source"
for each in pyproject.toml README.md LICENSE service migrations; do
    cp -R "$source/$each" "$work/source"
done
pip wheel --no-deps --no-build-isolation --no-index --wheel-dir "$work" "$work/source"

pip --python "$target/bin/python" install --require-hashes --only-binary :all: \
    -r "$source/requirements.txt"
pip --python "$target/bin/python" install --no-deps --no-index "$work"/watchword-*.whl

# All files may be read by anybody and written by nobody but their owner.
chmod -R go+rX,go-w "$target"
"$target/bin/watchword" --version
