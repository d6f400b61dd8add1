#!/usr/bin/env bash
# Fetches the Python plugin that bench measures beside, once, into a virtual
# environment of its own. Without it those measures are left out.
set -euo pipefail
cd "$(dirname "$0")"

PLUGIN="mlflow-secrets-auth[vault]==0.2.0"
MLFLOW="mlflow-skinny==3.17.2" # which the plugin asks for; without it, pip takes any

venv=${1:-../.cache}/bench/plugin
want="$PLUGIN $MLFLOW"
[ "$(cat "$venv/installed" 2>/dev/null)" != "$want" ] || exit 0
echo "bench: installing $want from PyPI" >&2
rm -rf "$venv"
if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "$PLUGIN" "$MLFLOW"; } >&2; then
	echo "bench: that failed: there will be nothing measured beside the Python plugin" >&2
	rm -rf "$venv"
	exit 0
fi
echo "$want" >"$venv/installed"
