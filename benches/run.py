#!/usr/bin/env python3
"""étude beside what people use today, in one table: `make bench`.

Every section runs étude, then the peers, then étude again, so that a busy machine slows both; rates are medians, brackets are the
worst and the best run. Writes benches/results/<section>.md. Peers are Python packages that étude itself does not need: the
interpreter that has them is named by PEERS_PYTHON, and one that is not installed is printed as such. Needs only the standard library.

usage: run.py --etude target/release/etude [--data data/bench] [--only ingest,mel,...] [--threads 2] [--runs 3]"""
import argparse, json, os, pathlib, platform, shlex, shutil, statistics, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE / 'peers'
ap = argparse.ArgumentParser()
ap.add_argument('--etude', default='target/release/etude')
ap.add_argument('--data', default='data/bench', help='corpora and formats of the peers; made once, kept')
ap.add_argument('--only', default='', help='sections, comma separated')
ap.add_argument('--threads', type=int, default=2)
ap.add_argument('--runs', type=int, default=3)
ap.add_argument('--clips', type=int, default=240, help='clips of 29.1 s for the loaders, 1.4 MB each and per format')
ap.add_argument('--tracks', type=int, default=32, help='tracks of 4 minutes for the crops, 11.5 MB each and per format')
ap.add_argument('--steps', type=int, default=4, help='training steps that count')
ap.add_argument('--results', default=str(HERE / 'results'))
args = ap.parse_args()
PYTHON = os.environ.get('PEERS_PYTHON', '')
DATA = pathlib.Path(args.data)


def call(command, **more):
    """standard output, or why there is none"""
    env = dict(os.environ, ETUDE_BENCH='1', OMP_NUM_THREADS=str(args.threads))
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env, timeout=900, **more)
    except (OSError, subprocess.TimeoutExpired) as e:
        return None, str(e)
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or ['no message'])[-1]
    return done.stdout, ''


def etude(*command):
    """rows of one `etude bench`"""
    shown = shlex.join(['etude', 'bench', *map(str, command)])
    out, why = call([args.etude, 'bench', *command, '--json'])
    if out is None:
        return [dict(who='étude', what=' '.join(map(str, command)), missing=why, command=shown)]
    return [dict(row, who='étude', command=shown) for row in json.loads(out)['rows']]


def peers(script, *command, make=False):
    """rows of one script of the peers"""
    shown = ' '.join(['python', f'benches/peers/{script}', *map(str, command)])
    if not PYTHON:
        return [dict(who='peers', what=script, missing='not installed: set PEERS_PYTHON to a Python that has them', command=shown)]
    out, why = call([PYTHON, PEERS / script, *command])
    rows = [json.loads(l[1:]) for l in (out or '').splitlines() if l.startswith('@')]
    for row in rows:
        if 'No module named' in row.get('missing', ''):
            row['missing'] = 'not installed'
    if out is None and not make:
        rows.append(dict(what=script, missing='not installed' if 'No module named' in why else why))
    return [dict(row, who='peer', command=shown) for row in rows]


def twice(ours, theirs):
    """étude, the peers, étude again: its two series are one, the slower median counts"""
    first, beside, second = ours(), theirs(), ours()
    for row, again in zip(first, second):
        if 'missing' not in row and 'missing' not in again:
            worse, better = (max, min) if row['unit'] in SMALLER else (min, max)
            row.update({k: worse(row[k], again[k]) for k in ('median', 'worst')}, best=better(row['best'], again['best']))
    return first + beside


SMALLER = ('s', 'MB')  # units of which less is better


def corpus():
    """MP3 in the two shapes that matter"""
    where = DATA / 'corpus'
    if not (where / 'jamendo').is_dir() and PYTHON and shutil.which('ffmpeg'):
        call([PYTHON, PEERS / 'make_corpus.py', where, 40, 16])
    return where


def ingest():
    rows = []
    for name in ('jamendo', 'mtat'):
        where = corpus() / name
        if not where.is_dir():
            return [dict(who='étude', what='ingest', missing='no MP3s: make_corpus.py needs ffmpeg and a Python with numpy')]
        threads = args.threads if name == 'jamendo' else 1
        # to memory where that is a folder: the peers keep their samples there
        scratch = ('--scratch', '/dev/shm') if os.access('/dev/shm', os.W_OK) else ()
        found = twice(lambda: etude('ingest', where, '--runs', args.runs, '--threads', threads, *scratch),
                      lambda: peers('ingest_peers.py', where, 24000, '--runs', args.runs))
        rows += [dict(row, what=f'{name}: {row["what"]}') for row in found]
    return rows


def loader():
    where = DATA / 'loader'
    kinds = 'webdataset,mosaicml,litdata,pyarrow_1t,limit_read_convert,limit_read_only'
    if PYTHON and not any((where / 'tar').glob('*.tar')):
        call([PYTHON, PEERS / 'loader_peers.py', where, 'make', '--clips', args.clips, '--only', kinds])
    ours = ('loader', '--clips', args.clips, '--threads', args.threads, '--runs', args.runs, '--scratch', DATA)
    return twice(lambda: etude(*ours) + etude(*ours, '--prefetch-mb', 96)[:1],  # the second holds two batches ahead, not one
                 lambda: peers('loader_peers.py', where, 'all', '--runs', args.runs, '--workers', args.threads, '--only', kinds))


def crops():
    where = DATA / 'crops'
    if PYTHON and not any((where / 'tar').glob('*.tar')):
        call([PYTHON, PEERS / 'crop_peers.py', where, 'make', '--tracks', args.tracks])
    ours = ('loader', '--clips', args.tracks, '--clip', 240, '--crop', 720000, '--epochs', 8, '--threads', args.threads, '--runs', args.runs, '--scratch', DATA)
    return twice(lambda: etude(*ours),
                 lambda: peers('crop_peers.py', where, 'all', '--tracks', args.tracks, '--runs', args.runs, '--workers', args.threads))


# The PEFT study's networks on noise, from random weights; the loader, the logging and the target are part of our step.
STUDY = 'configs/peft/mtat'
MUSICFM = ([f'{STUDY}/musicfm_lora.toml', '--noise', 29.124, '--set', 'data.batch=1'], ['musicfm', '--method', 'lora'])
MERT = ([f'{STUDY}/mert95m_lora.toml', '--noise', 5, '--set', 'data.batch=4', '--set', "data.crop={ kind = 'whole' }"],
        ['mert', '--method', 'lora', '--batch', 4])
# what is compared, network, precision, our settings, the peer's
LIVE, FIXED, KEPT = ('batch',), ('running',), ('running', 'data.cache={ fill = "before" }')
STEPS = [
    ('MusicFM, 1 x 29.1 s, float32', MUSICFM, 'f32', FIXED, ['--eval-mode']),
    ('MusicFM, 1 x 29.1 s, float32, frozen beginning kept', MUSICFM, 'f32', KEPT, ['--eval-mode', '--mode', 'cached']),
    ('MusicFM, 1 x 29.1 s, bfloat16', MUSICFM, 'bf16', FIXED, ['--eval-mode']),
    ('MusicFM, 1 x 29.1 s, bfloat16, frozen beginning kept', MUSICFM, 'bf16', KEPT, ['--eval-mode', '--mode', 'cached']),
    ('MERT, 4 x 5 s, float32, as published', MERT, 'f32', LIVE, ['--grad-prefix']),
    ('MERT, 4 x 5 s, float32', MERT, 'f32', FIXED, ['--eval-mode']),
    ('MERT, 4 x 5 s, float32, frozen beginning kept', MERT, 'f32', KEPT, ['--eval-mode', '--mode', 'cached']),
]


def train():
    """seconds of a step"""
    rows = []
    for what, (ours, theirs), precision, (stats, *kept), more in STEPS:
        sets = [f'trainer.precision={precision}', f'model.frozen_stats={stats}', 'run.device=cpu', f'run.threads={args.threads}', *kept]
        sets = [word for key in sets for word in ('--set', key)]
        found = twice(lambda: etude('train', *ours, *sets, '--scratch', DATA, '--steps', args.steps, '--warmup', 1),
                      lambda: peers('train_peers.py', *theirs, *more, '--dtype', precision.replace('f32', 'fp32'), '--threads',
                                    args.threads, '--steps', args.steps, '--warm', 1))
        rows += [dict(row, what=what) for row in found if 'missing' in row or row['unit'] == 's']
    return rows


def startup():
    """process start to the first embedding of a file: MERT-95M, random weights, 12 layers"""
    where = DATA / 'startup'
    theirs = lambda: peers('startup_peers.py', '--only-embedding', '--runs', args.runs, '--threads', args.threads, '--keep', where)
    if not (where / 'model').is_dir():
        theirs()
        call([args.etude, 'import', 'mert', where / 'model.safetensors', '--config', where / 'config.json', '--out', where / 'model'])
    command = ['embed', '--model', where / 'model', where / 'clip.wav', '--out', where / 'clip.npy', '--threads', args.threads]
    shown = ' '.join(['etude', *map(str, command)])

    def ours():
        runs = []
        for _ in range(args.runs):
            begun = time.perf_counter()
            process = subprocess.Popen([str(c) for c in (args.etude, '--json', *command)], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            out, why = process.stdout.read(), process.stderr.read()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begun
            if status:
                return [dict(who='étude', what='first embedding', missing=(why.strip().splitlines() or ['no message'])[-1], command=shown)]
            forward = json.loads(out)['seconds']['compute']
            runs.append((wall, wall - forward, forward, used.ru_maxrss / 1024))
        names = [('first embedding', 's'), ('all but the forward pass', 's'), ('the forward pass', 's'), ('peak memory', 'MB')]
        return [dict(who='étude', what=what, median=statistics.median(values), worst=max(values), best=min(values), unit=unit, command=shown)
                for (what, unit), values in zip(names, zip(*runs))]

    return twice(ours, theirs)


SECTIONS = dict(
    ingest=('MP3 to 24 kHz mono; étude with digests, quality facts and (last rows) Parquet, one core unless it says threads', ingest),
    resample=('44.1 to 24 kHz, mono float32, one core',
              lambda: twice(lambda: etude('resample', '--runs', args.runs), lambda: peers('resample_peers.py', '--runs', args.runs))),
    mel=('MusicFM front end, 24 kHz, 2048/240/128, dB, one core',
         lambda: twice(lambda: etude('mel', '--runs', args.runs), lambda: peers('mel_peers.py', '--runs', args.runs))),
    loader=(f'batches of 16 float32 clips of 29.1 s from s16, page cache warm, {args.threads} threads or workers', loader),
    crops=(f'random 30 s crops of 4-minute tracks, page cache warm, {args.threads} threads or workers', crops),
    train_cpu=(f'a training step: first 6 layers, LoRA of rank 2 on every projection, head of two layers, {args.threads} threads', train),
    startup=(f'process start to the first embedding: MERT-95M, 12 layers, random weights, a WAV file of 30 s, {args.threads} threads', startup),
)


def figure(v):
    return f'{v:.0f}' if v >= 100 else f'{v:.2f}' if v >= 1 else f'{v:.3f}'


def cells(row):
    if 'missing' in row:
        return [row['who'], row['what'], '-', '', '', row['missing']]
    spread = f'{figure(row["worst"])} .. {figure(row["best"])}'
    return [row['who'], row['what'], figure(row['median']), spread, row['unit'], row.get('note', '')]


def aligned(table):
    """lines of a Markdown table that is aligned as text too"""
    head = ['who', 'what', 'median', 'worst .. best', 'unit', 'note']
    table = [head] + [[c.replace('|', '/') for c in row] for row in table]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    right = {2, 3}
    line = lambda row: '| ' + ' | '.join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))) + ' |'
    rule = '|' + '|'.join('-' * (w + 1) + (':' if i in right else '-') for i, w in enumerate(widths)) + '|'
    return [line(table[0]), rule] + [line(row) for row in table[1:]]


def machine():
    info = pathlib.Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((l.split(':')[1].strip() for l in lines if l.startswith('model name')), platform.machine())
    return f'{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start'


def versions():
    out, _ = call([args.etude, '--version'])
    found = [(out or 'étude').strip()]
    if PYTHON:
        names = 'numpy torch torchaudio torchcodec librosa soundfile soxr scipy webdataset litdata mosaicml-streaming pyarrow miniaudio transformers peft'
        code = ('import importlib.metadata as m, sys\n'
                'for n in sys.argv[1:]:\n'
                '  try: print(n, m.version(n))\n'
                '  except Exception: print(n, "not installed")')
        out, _ = call([PYTHON, '-c', code, *names.split()])
        found += (out or '').splitlines()
    ffmpeg, _ = call(['ffmpeg', '-version']) if shutil.which('ffmpeg') else (None, '')
    found.append(' '.join(ffmpeg.split()[0:3:2]) if ffmpeg else 'ffmpeg not installed')
    return ', '.join(found)


def main():
    wanted = args.only.split(',') if args.only else list(SECTIONS)
    unknown = [w for w in wanted if w not in SECTIONS]
    if unknown:
        sys.exit(f'unknown section {unknown[0]}; there are {", ".join(SECTIONS)}')
    DATA.mkdir(parents=True, exist_ok=True)
    about = versions()
    print(f'{machine()}\n{about}\n')
    for name in wanted:
        title, section = SECTIONS[name]
        begun, here = time.time(), machine()
        rows = section()
        lines = aligned(map(cells, rows))
        print(f'{name}: {title}', *lines, '', sep='\n', flush=True)
        commands = sorted({row['command'].replace(str(DATA), 'data/bench') for row in rows if 'command' in row})
        text = [f'# {name}', '', f'{title[0].upper()}{title[1:]}.', '', f'{time.strftime("%Y-%m-%d")}, {here}.', f'{about}.', '',
                *(f'    {c}' for c in commands), '', *lines, '',
                f'étude ran before and after the peers; its slower median is shown. The section took {time.time() - begun:.0f} s.', '']
        out = pathlib.Path(args.results) / f'{name}.md'
        out.parent.mkdir(parents=True, exist_ok=True)
        before = out.read_text() if out.exists() else ''
        notes = before[before.index('\n## '):] if '\n## ' in before else ''  # what was written by hand stays
        out.write_text('\n'.join(text) + notes)


main()
