"""Start-up: seconds and peak memory of fresh Python processes, from start to the first embedding of a clip of 30 s.

    python startup_peers.py [--runs 5] [--threads 2] [--keep DIR] [--only-embedding]

The model is the size of MERT-95M (12 layers), random weights, in a safetensors file. With --keep the folder stays, for
`etude import mert DIR/model.safetensors` and `etude embed`; HuBERT's names, which are MERT's."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

MAKE = """
import sys, numpy, soundfile, torch, transformers
out = sys.argv[1]
config = transformers.HubertConfig(mask_time_prob=0.05)  # has the mask vector that MERT has; evaluation does not use it
transformers.HubertModel(config).save_pretrained(out)
noise = numpy.random.default_rng(0).uniform(-0.5, 0.5, 720_000)
soundfile.write(out + "/clip.wav", noise.astype("float32"), 24_000, subtype="PCM_16")
"""
EMBED = """
import sys, time
at = [time.perf_counter()]
import soundfile, torch, transformers
torch.set_num_threads(int(sys.argv[2]))
at.append(time.perf_counter())
model = transformers.HubertModel.from_pretrained(sys.argv[1]).eval()
at.append(time.perf_counter())
wave = torch.from_numpy(soundfile.read(sys.argv[1] + "/clip.wav", dtype="float32")[0])[None]
with torch.inference_mode():
    model(wave).last_hidden_state.mean(1)
at.append(time.perf_counter())
print(*(b - a for a, b in zip(at, at[1:])), time.time())
"""


def fresh(code, *args):
    """Wall seconds, processor seconds, peak MB and output of a process of its own, and when it began."""
    at, begun = time.time(), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {code.strip().splitlines()[0]}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said, at


def emit(what, values, unit):
    """one figure for benches/run.py: smaller is better"""
    if os.environ.get("ETUDE_BENCH"):
        row = dict(what=what, median=statistics.median(values), worst=max(values), best=min(values), unit=unit,
                   note="transformers")
        print("@", json.dumps(row), flush=True)


def median(rows, column):
    return statistics.median(row[column] for row in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--only-embedding", action="store_true", help="not the imports alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(args.keep or scratch)
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        if not pathlib.Path(folder, "clip.wav").exists():
            fresh(MAKE, folder)
        rows = [fresh(EMBED, folder, str(args.threads)) for _ in range(args.runs)]
        parts = [[float(x) for x in row[3].split()] for row in rows]
        print(f"{'first embedding':24} {median(rows, 0):6.2f} s wall {median(rows, 1):6.2f} s cpu {median(rows, 2):6.0f} MB"
              f" (imports {median(parts, 0):.2f}, load {median(parts, 1):.2f}, forward {median(parts, 2):.2f} s wall)")
        whole = [part[3] - row[4] for row, part in zip(rows, parts)]  # until the embedding is there, without the exit
        print(f"{'until it is there':24} {statistics.median(whole):6.2f} s wall")
        emit("first embedding", whole, "s")
        emit("all but the forward pass", [all_ - part[2] for all_, part in zip(whole, parts)], "s")
        emit("the forward pass", [part[2] for part in parts], "s")
        emit("peak memory", [row[2] for row in rows], "MB")
        if args.only_embedding:
            return
        for name, code in (("python", "pass"), ("import torch", "import torch"),
                           ("import transformers", "import torch; from transformers import HubertModel")):
            rows = [fresh(code) for _ in range(args.runs)]
            print(f"{name:24} {median(rows, 0):6.2f} s wall {median(rows, 1):6.2f} s cpu {median(rows, 2):6.0f} MB", flush=True)


main()
