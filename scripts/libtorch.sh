#!/usr/bin/env bash
# Prints the directory of libtorch 2.11.0 (holding include/ and lib/), fetching it once if there is none.
#   LIBTORCH       if set, it is used as it is
#   ETUDE_CACHE    where the fetched copy is kept (default: ~/.cache/etude)
#   ETUDE_DEVICE   cpu or cuda (default: cuda when an NVIDIA driver answers)
set -euo pipefail
if [ -n "${LIBTORCH:-}" ]; then
    [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || { echo "LIBTORCH=$LIBTORCH: expected lib/libtorch_cpu.so there, found none" >&2; exit 1; }
    echo "$LIBTORCH"
    exit 0
fi
device=${ETUDE_DEVICE:-cpu}
if [ -z "${ETUDE_DEVICE:-}" ] && command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then device=cuda; fi
cache=${ETUDE_CACHE:-$HOME/.cache/etude}
home=$cache/libtorch-2.11.0-$device
if [ ! -e "$home/torch/lib/libtorch_cpu.so" ]; then
    # One fetch at a time; a killed one leaves only a .part folder behind.
    mkdir -p "$cache"
    exec 9>"$cache/libtorch.lock"
    if command -v flock >/dev/null 2>&1; then flock 9; fi
    if [ ! -e "$home/torch/lib/libtorch_cpu.so" ]; then
        echo "fetching libtorch 2.11.0 ($device) into $home (once) ..." >&2
        rm -rf "$home.part"
        wheels="torch==2.11.0"
        deps=()
        if [ "$device" = cpu ]; then
            # libtorch_cpu.so itself asks for these two; nothing else is needed without a GPU.
            wheels="$wheels nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85"
            deps=(--no-deps)
        fi
        # Any Python will do: the wheel is only unpacked, never imported.
        # shellcheck disable=SC2086
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile \
            --target "$home.part" --only-binary=:all: --implementation cp --python-version 3.11 \
            --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
            --platform manylinux_2_17_x86_64 "${deps[@]}" $wheels >&2
        mv "$home.part" "$home"
    fi
fi
echo "$home/torch"
