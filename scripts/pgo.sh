#!/bin/sh
# Learns from real files which way the decoder's branches go: builds étude with counters, ingests the music given, and leaves
# the counts where `make build` looks for them. Another compiler or Cargo.lock leaves them without effect: run it again then.
#
# usage: scripts/pgo.sh FOLDER TARGET FLAGS
#   FOLDER  a few files like those to be ingested, sub-folders included
#   TARGET  cargo's target folder; the counts go to TARGET/pgo/etude.profdata, the build with counters is removed
#   FLAGS   what rustc is told beside the counting
# LLVM_PROFDATA names the tool that adds counts up; it must be as new as rustc's LLVM.
set -eu
music=$1 pgo=$(mkdir -p "$2/pgo" && cd "$2/pgo" && pwd) flags=$3
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
for tool in "${LLVM_PROFDATA:-}" "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-profdata "llvm-profdata-$llvm" llvm-profdata; do
  profdata=$(command -v "$tool" || true)
  [ -z "$profdata" ] || break
done
if [ -z "$profdata" ]; then
  echo "llvm-profdata of LLVM $llvm is not here: rustup component add llvm-tools, or Debian's llvm-$llvm, or name it in LLVM_PROFDATA" >&2
  exit 2
fi
[ -d "$music" ] || { echo "MUSIC: expected a folder of audio files, got '$music'" >&2; exit 2; }
rm -rf "$pgo/counts" "$pgo/scratch"
CARGO_TARGET_DIR=$pgo/build RUSTFLAGS="$flags -C profile-generate=$pgo/counts" "${CARGO:-cargo}" build --release -p etude-cli
"$pgo/build/release/etude" bench ingest "$music" --runs 1 --scratch "$pgo/scratch"
"$profdata" merge --sparse -o "$pgo/etude.profdata.part" "$pgo"/counts/*.profraw
mv "$pgo/etude.profdata.part" "$pgo/etude.profdata"
rm -rf "$pgo/build" "$pgo/counts" "$pgo/scratch"
