"""Random 30 s crops of 4-minute tracks: s16 PCM at 24 kHz (11.5 MB a track), batches of 16 float32 crops, page cache warm, and how many
bytes are read for one that is used. Formats that keep a track as one record read all of it for any crop.
usage: crop_peers.py DATA_DIR make [--tracks 48]        writes each track once per format (about 550 MB each)
       crop_peers.py DATA_DIR all|PEER [--runs 3] [--workers 2]"""
import argparse, glob, io, itertools, os, statistics, subprocess, sys, time
sys.path.insert(0, os.path.dirname(__file__)); import common; common.one_thread()
import numpy as np
RATE, TRACK, CROP, BS, PASSES = 24000, 240, 30, 16, 8; N, C = RATE * TRACK, RATE * CROP
ap = argparse.ArgumentParser(); ap.add_argument('dir'); ap.add_argument('what'); ap.add_argument('--tracks', type=int, default=48)
ap.add_argument('--runs', type=int, default=3); ap.add_argument('--workers', type=int, default=2); ap.add_argument('--only', default='')
a = ap.parse_args(); D = a.dir

def wanted(name): return not a.only or name in a.only.split(',')
def track(i): return np.random.default_rng(i).integers(-20000, 20000, N, dtype=np.int16)
def litfn(i): return {'pcm': track(i).tobytes()}
def make():
    import tarfile
    for s in ('tar', 'parquet', 'wav'): os.makedirs(f'{D}/{s}', exist_ok=True)
    mds = None
    if wanted('mosaicml') and common.installed('streaming'):
        from streaming import MDSWriter
        mds = MDSWriter(out=f'{D}/mds', columns={'pcm': 'bytes'}, size_limit=2**26)
    for s in range(0, a.tracks, 8):
        rows = range(s, min(a.tracks, s + 8))
        if common.installed('pyarrow'):
            import pyarrow as pa, pyarrow.parquet as pq
            pq.write_table(pa.table({'pcm': pa.array([track(i).tobytes() for i in rows], pa.binary())}), f'{D}/parquet/{s:05d}.parquet', row_group_size=1, compression='none', use_dictionary=False)
        with tarfile.open(f'{D}/tar/{s//8:05d}.tar', 'w') as tf:
            for i in rows:
                b = track(i).tobytes(); ti = tarfile.TarInfo(f'{i:05d}.pcm'); ti.size = len(b); tf.addfile(ti, io.BytesIO(b))
                if mds: mds.write({'pcm': b})
                if common.installed('soundfile'):
                    import soundfile; soundfile.write(f'{D}/wav/{i:05d}.wav', track(i), RATE, subtype='PCM_16')
    if mds: mds.finish()
    if wanted('litdata') and common.installed('litdata'):
        import litdata; litdata.optimize(fn=litfn, inputs=list(range(a.tracks)), output_dir=f'{D}/lit', chunk_bytes='64MB', num_workers=1)

def crop(pcm):
    import torch
    x = np.frombuffer(pcm, np.int16); s = np.random.randint(0, len(x) - C + 1)
    return torch.from_numpy(x[s:s + C].astype(np.float32) * np.float32(1 / 32768))
def dl(ds, workers, **k):
    import torch
    return torch.utils.data.DataLoader(ds, batch_size=BS, num_workers=workers, persistent_workers=workers > 0, **k)
def p_webdataset(workers):
    import webdataset as wds, torch
    ds = wds.WebDataset(sorted(glob.glob(f'{D}/tar/*.tar')), shardshuffle=100, empty_check=False).shuffle(8).to_tuple('pcm').map(lambda t: crop(t[0])).batched(BS, collation_fn=torch.utils.data.default_collate)
    return wds.WebLoader(ds, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
def p_mosaicml(workers):
    import streaming
    class S(streaming.StreamingDataset):
        def __getitem__(s, i): return crop(super().__getitem__(i)['pcm'])
    return dl(S(local=f'{D}/mds', shuffle=True, batch_size=BS), workers)
def p_litdata(workers):
    import litdata
    class S(litdata.StreamingDataset):
        def __getitem__(s, i): return crop(super().__getitem__(i)['pcm'])
    return litdata.StreamingDataLoader(S(f'{D}/lit', shuffle=True), batch_size=BS, num_workers=workers)
class Rows:
    """one row group a track, read whole"""
    def __init__(s): s.at = [(f, i) for f in sorted(glob.glob(f'{D}/parquet/*.parquet')) for i in range(8)][:a.tracks]
    def __len__(s): return len(s.at)
    def __getitem__(s, n):
        import pyarrow.parquet as pq
        f, i = s.at[n]
        with open(f, 'rb') as h: return crop(pq.ParquetFile(h).read_row_group(i, use_threads=False).column(0)[0].as_buffer())
def p_pyarrow_row(workers): return dl(Rows(), workers, shuffle=True)
class Wavs:
    """the one peer that seeks: a file a track"""
    def __init__(s): s.f = sorted(glob.glob(f'{D}/wav/*.wav'))
    def __len__(s): return len(s.f)
    def __getitem__(s, i):
        import soundfile, torch
        at = np.random.randint(0, N - C + 1)
        return torch.from_numpy(soundfile.read(s.f[i], start=at, stop=at + C, dtype='float32')[0])
def p_wav_seek(workers): return dl(Wavs(), workers, shuffle=True)
PEERS = dict(webdataset=p_webdataset, mosaicml=p_mosaicml, litdata=p_litdata, pyarrow_row=p_pyarrow_row, wav_seek=p_wav_seek)

def rchar(): return next(int(l.split()[1]) for l in open('/proc/self/io') if l.startswith('rchar'))
def epoch(it):
    """PASSES crops of every track"""
    n = 0
    for b in itertools.chain.from_iterable(itertools.repeat(it, PASSES)): assert b.shape[1] == C, b.shape; n += len(b)
    return n
def overhead(name):
    """bytes through read() in one epoch without workers, over the bytes of its crops; formats that map files do not show up here"""
    it = PEERS[name](0); epoch(it); before = rchar(); n = epoch(it)
    return (rchar() - before) / (n * C * 2)
def bench(name):
    import torch; torch.set_num_threads(1)
    with common.TreeMem() as mem:
        it = PEERS[name](a.workers); ts = []; epoch(it)
        for _ in range(a.runs): t = time.perf_counter(); n = epoch(it); ts.append(n / (time.perf_counter() - t))
    m = statistics.median(ts); x = overhead(name)
    read = f'read {x:.2f} x used' if x > .5 else 'maps its files: bytes not counted'
    note = f'{a.workers} workers, {read}, peak PSS {mem.peak:.0f} MB'
    print(f'{name:20s} {m:8.1f} crops/s [{min(ts):.1f}..{max(ts):.1f}]  {note}', flush=True)
    common.emit(name, m, min(ts), max(ts), 'crops/s', note)
if __name__ == '__main__':
    if a.what == 'make': make()
    elif a.what == 'all':
        common.note('torch', 'webdataset', 'streaming', 'litdata', 'pyarrow', 'soundfile')
        for p in filter(wanted, PEERS):
            r = subprocess.run([sys.executable, os.path.abspath(__file__), D, p, '--runs', str(a.runs), '--workers', str(a.workers), '--tracks', str(a.tracks)], capture_output=True, text=True)
            out = [l for l in r.stdout.splitlines() if l.startswith((p, '@'))]; why = (r.stderr.strip().splitlines() or ['?'])[-1][:200]
            if not out: common.missing(p, why)
            print('\n'.join(out) if out else f'{p} failed: {why}', flush=True)
    else: bench(a.what)
