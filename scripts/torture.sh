#!/usr/bin/env bash
# Kills every stage at random, many times, and checks that the end is always the same, byte by byte.
#   scripts/torture.sh [ETUDE] [KILLS]      default: target/release/etude 200
# Each stage gets a third of the kills. The last line says whether an undisturbed run and the tortured one agree.
set -euo pipefail
etude=$(realpath "${1:-target/release/etude}")
kills=${2:-200}
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seed=${SEED:-1}

prepare() { # prepare DIR
    mkdir -p "$1"
    (cd "$1" && "$etude" --quiet demo --out data/raw/demo --clips 96 --seconds 10 >/dev/null)
    cp "$here/configs/data/demo.toml" "$1/data.toml"
    cp "$here/configs/demo/vggish.toml" "$1/train.toml"
}
stage() { # stage NAME -> the command's arguments
    case $1 in
        ingest) echo "ingest data.toml" ;;
        shards) echo "shards data.toml --set shards.file_mb=4" ;;
        train) echo "train train.toml --resume --set trainer.epochs=3" ;;
    esac
}
digests() { # digests DIR STAGE
    case $2 in
        ingest) (cd "$1/data/manifests" && sha256sum -- *.parquet) ;;
        shards) (cd "$1/data/shards" && find . -name 'shard-*.parquet' -o -name index.json | sort | xargs sha256sum) ;;
        train) (cd "$1" && find runs -name '*.safetensors' | sort | xargs sha256sum) ;;
    esac
}

prepare "$work/calm"
prepare "$work/wild"
for name in ingest shards train; do
    read -ra args <<<"$(stage $name)"
    begun=$(date +%s%N)
    (cd "$work/calm" && "$etude" --quiet "${args[@]}" >/dev/null)
    whole_ms=$((($(date +%s%N) - begun) / 1000000))
    hits=0
    RANDOM=$seed
    for ((n = 0; n < kills / 3; n++)); do
        (cd "$work/wild" && exec "$etude" --quiet "${args[@]}" >/dev/null 2>&1) &
        pid=$!
        sleep "$(awk -v ms="$whole_ms" -v r=$RANDOM 'BEGIN {print ms / 1000 * r / 32768}')"
        if kill -9 $pid 2>/dev/null; then hits=$((hits + 1)); fi
        wait $pid 2>/dev/null || true
    done
    (cd "$work/wild" && "$etude" --quiet "${args[@]}" >/dev/null)
    if diff <(digests "$work/calm" $name) <(digests "$work/wild" $name); then
        echo "$name: same bytes after $hits kills (an undisturbed run takes $whole_ms ms)"
    else
        echo "$name: DIFFERENT after $hits kills" >&2
        exit 1
    fi
done
