#!/usr/bin/env bash
# onnxruntime 1.31.1 from PyPI, on Linux: importing it makes a device id and opens a telemetry database (SQLite) under the user's
# cache folder, or under /tmp where there is none, before any code could call `disable_telemetry_events()`, and keeps it open.
# Only the environment variable ORT_DISABLE_TELEMETRY=1, set before the import, keeps both from being made; the call that the
# documentation names comes too late for that.
#
# Seen:
#   default:                            deviceid onnxruntime.db
#   disable_telemetry_events():         deviceid onnxruntime.db
#   ORT_DISABLE_TELEMETRY=1:            nothing
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.31.1
made() { # NAME CODE [VARIABLE=VALUE]
  local home="$folder/$1"; mkdir "$home"
  env -u XDG_CACHE_HOME HOME="$home" TMPDIR="$home" ${3:-} "$folder/venv/bin/python" -c "$2"
  find "$home" \( -name deviceid -o -name onnxruntime.db \) -printf '%f\n' | sort | xargs
}
plain=$(made plain 'import onnxruntime')
call=$(made call 'import onnxruntime; onnxruntime.disable_telemetry_events()')
variable=$(made variable 'import onnxruntime' ORT_DISABLE_TELEMETRY=1)
printf 'default:                            %s\n' "${plain:-nothing}"
printf 'disable_telemetry_events():         %s\n' "${call:-nothing}"
printf 'ORT_DISABLE_TELEMETRY=1:            %s\n' "${variable:-nothing}"
[ "$plain" = 'deviceid onnxruntime.db' ] && [ "$call" = 'deviceid onnxruntime.db' ] && [ -z "$variable" ]
