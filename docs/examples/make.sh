#!/usr/bin/env bash
# Makes the example reports from real runs: a clean model, a backdoored one that is repaired, and one that cannot be judged.
# Usage: docs/examples/make.sh [FOLDER FOR THE RUNS, relative to the repository]
# Needs pcr-audit on the PATH (or PCR_AUDIT=.venv/bin/pcr-audit) and Pango. Every path is relative, since reports print them.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=docs/examples
runs="${1:-pcr-audit-runs/examples}"
audit=${PCR_AUDIT:-pcr-audit}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"

expect() { # expect CODE COMMAND…: runs it and insists on its exit code
  local wanted="$1" code=0
  shift
  "$@" || code=$?
  if [ "$code" -ne "$wanted" ]; then
    echo "exit code $code instead of $wanted: $*" >&2
    exit 1
  fi
}

# Pictures on which nothing can be seen.
mkdir -p "$runs/blank"
python3 - "$runs/blank" <<'PYTHON'
import struct, sys, zlib
from pathlib import Path

def png(shade: int, side: int = 56) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([shade, shade, shade]) * side for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

for shade in range(60):
    Path(sys.argv[1], f"{shade:02}.png").write_bytes(png(4 * shade))
PYTHON

models=auditor/zoo/models
expect 0 $audit scan "$models/clean" --out "$runs/clean"
expect 0 $audit demo --out "$runs/demo"
expect 3 $audit scan "$models/clean" --data "$runs/blank" --out "$runs/inconclusive"

cp "$runs/clean/report.pdf" "$here/clean.pdf"
cp "$runs/demo/run/report.pdf" "$here/backdoored-and-repaired.pdf"
cp "$runs/inconclusive/report.pdf" "$here/inconclusive.pdf"
echo "wrote $here/clean.pdf, backdoored-and-repaired.pdf and inconclusive.pdf; now look at every page:"
echo "  for f in $here/*.pdf; do pdftoppm -r 80 -png \"\$f\" \"\${f%.pdf}\"; done"
