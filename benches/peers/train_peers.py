"""One training step of a frozen music network, as torch, torchaudio, transformers and peft give it: random weights, noise.

    musicfm   mel, two residual convolution blocks, 6 conformer layers of width 1024; LoRA rank 2 on every projection
    mert      7 strided convolutions, 6 transformer layers of width 768; bottleneck adapters of 16 (--method lora: LoRA)

Mean over time, two layers to 50 tags, binary cross-entropy, Adam, gradients clipped at 1. The frozen convolutions run
without gradients, which is kinder than the published loops (--grad-prefix lets torch do as it likes). Audio is on the
device before the clock starts. --mode cached starts from the output of the frozen convolutions.

usage: train_peers.py {musicfm,mert} [--mode full|cached] [--method lora|adapter] [--device cpu|cuda] [--batch 1]
       [--seconds S] [--steps 3] [--warm 1] [--threads 2] [--dtype fp32|bf16] [--matmul highest|high|medium] [--eval-mode]
       [--compile] [--tiny] [--peak-tflops X]
"""
import argparse, contextlib, os, statistics, sys, time

sys.path.insert(0, os.path.dirname(__file__))
import common

ap = argparse.ArgumentParser()
ap.add_argument('model', choices=['musicfm', 'mert'])
ap.add_argument('--mode', default='full', choices=['full', 'cached'])
ap.add_argument('--method', choices=['lora', 'adapter'])
ap.add_argument('--device', default='cpu')
ap.add_argument('--batch', type=int, default=1)
ap.add_argument('--seconds', type=float)
ap.add_argument('--steps', type=int, default=3)
ap.add_argument('--warm', type=int, default=1)
ap.add_argument('--threads', type=int, default=2)
ap.add_argument('--layers', type=int, default=6)
ap.add_argument('--dtype', default='fp32', choices=['fp32', 'bf16'])
ap.add_argument('--matmul', choices=['highest', 'high', 'medium'], help='how products of float32 are computed: medium is in '
                'bfloat16 where the processor can, 0.4 instead of 0.0001 off on 3072 x 768; default medium on cuda, else highest')
ap.add_argument('--eval-mode', action='store_true', help='no dropout, running statistics')
ap.add_argument('--grad-prefix', action='store_true')
ap.add_argument('--compile', action='store_true')
ap.add_argument('--tiny', action='store_true', help='small sizes, to try the script')
ap.add_argument('--peak-tflops', type=float, default=0, help='of the device: prints the share that is used')
a = ap.parse_args()
common.one_thread(a.threads)

import torch, torchaudio, transformers, peft
import torch.nn.functional as F
from torch import nn
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoder

torch.set_num_threads(a.threads)
torch.manual_seed(0)
cuda = a.device.startswith('cuda')
torch.set_float32_matmul_precision(a.matmul or ('medium' if cuda else 'highest'))
sync = torch.cuda.synchronize if cuda else lambda: None
method = a.method or {'musicfm': 'lora', 'mert': 'adapter'}[a.model]
channels, width, inner, heads, layers = (16, 32, 64, 4, 2) if a.tiny else (512, 1024, 4096, 16, a.layers)
if a.model == 'mert' and not a.tiny:
    width, inner, heads = 768, 3072, 12


def cast():
    on = a.dtype == 'bf16'
    return torch.autocast('cuda' if cuda else 'cpu', torch.bfloat16) if on else contextlib.nullcontext()


class Mel(nn.Module):
    def __init__(self):
        super().__init__()
        self.mel = torchaudio.transforms.MelSpectrogram(24000, n_fft=2048, hop_length=240, n_mels=128)
        self.db = torchaudio.transforms.AmplitudeToDB('power')

    def forward(self, wave):
        return (self.db(self.mel(wave.float()))[..., :-1] - 6.768) / 18.418


class Residual(nn.Module):
    """Two convolutions beside one; both ways halve bands and frames."""
    def __init__(self, inp, out):
        super().__init__()
        conv = lambda inp, stride: nn.Sequential(nn.Conv2d(inp, out, 3, stride, 1), nn.BatchNorm2d(out))
        self.first, self.second, self.beside = conv(inp, 2), conv(out, 1), conv(inp, 2)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.beside(x))


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Residual(1, channels), Residual(channels, channels))
        self.linear = nn.Linear(channels * 32, width)

    def forward(self, mel):
        return self.linear(self.blocks(mel[:, None]).permute(0, 3, 1, 2).flatten(2))


class Conformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Wav2Vec2ConformerEncoder(transformers.Wav2Vec2ConformerConfig(
            hidden_size=width, intermediate_size=inner, num_attention_heads=heads, num_hidden_layers=layers,
            hidden_act='swish', position_embeddings_type='rotary', rotary_embedding_base=10000, layerdrop=0.,
            conv_depthwise_kernel_size=31, hidden_dropout=.1, attention_dropout=.1, activation_dropout=.1,
            conformer_conv_dropout=.1, num_conv_pos_embeddings=128, num_conv_pos_embedding_groups=16))

    def forward(self, x):
        return self.encoder(x)[0]


class Transformer(nn.Module):
    """What follows HuBERT's convolutions: projection and encoder."""
    def __init__(self, hubert):
        super().__init__()
        self.projection, self.encoder = hubert.feature_projection, hubert.encoder

    def forward(self, features):
        return self.encoder(self.projection(features.transpose(1, 2)))[0]


class Adapter(nn.Module):
    """A bottleneck between a residual sum and the norm behind it; the norm trains too."""
    def __init__(self, norm):
        super().__init__()
        self.down, self.up, self.norm = nn.Linear(width, 16), nn.Linear(16, width), norm
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.norm(x + self.up(F.gelu(self.down(x))))


if a.model == 'musicfm':
    seconds = a.seconds or (1. if a.tiny else 29.124)
    mel, front, encoder = Mel(), Stem(), Conformer()
    targets = ['linear_q', 'linear_k', 'linear_v', 'linear_out', 'intermediate_dense', 'output_dense',
               'pointwise_conv1', 'pointwise_conv2']
    front_cost, encoder_cost = 27.3e9, 7.7e9 / 6 * layers
else:
    seconds = a.seconds or (.5 if a.tiny else 5.)
    hubert = transformers.HubertModel(transformers.HubertConfig(
        hidden_size=width, intermediate_size=inner, num_attention_heads=heads, num_hidden_layers=layers,
        conv_dim=[channels] * 7, layerdrop=0., mask_time_prob=0., attn_implementation='sdpa'))
    mel, front, encoder = nn.Identity(), hubert.feature_extractor, Transformer(hubert)
    front._requires_grad = a.grad_prefix
    targets = ['q_proj', 'k_proj', 'v_proj', 'out_proj', 'intermediate_dense', 'output_dense']
    front_cost, encoder_cost = 7.4e9, ((17.6 if seconds > 10 else 15.) - 7.4) * 1e9 / 6 * layers

if method == 'lora':
    encoder = peft.get_peft_model(encoder, peft.LoraConfig(r=2, lora_alpha=2, target_modules=targets, lora_dropout=0.))
elif a.model == 'mert':
    encoder.requires_grad_(False)
    for layer in encoder.encoder.layers:
        layer.layer_norm = Adapter(layer.layer_norm.requires_grad_(True))
        layer.final_layer_norm = Adapter(layer.final_layer_norm.requires_grad_(True))
else:
    sys.exit('adapters are for mert here')
head = nn.Sequential(nn.Linear(width, width), nn.Dropout(.5), nn.ReLU(), nn.Linear(width, 50))
for module in (mel, front):
    module.requires_grad_(False)
device = torch.device(a.device)
for module in (mel, front, encoder, head):
    module.to(device).train(not a.eval_mode)
trained = [p for module in (encoder, head) for p in module.parameters() if p.requires_grad]
adam = torch.optim.Adam(trained, 1e-4)
run_front, run_encoder = (torch.compile(front), torch.compile(encoder)) if a.compile else (front, encoder)

common.note('torch', 'torchaudio', 'transformers', 'peft')
print(f'# {a.model} {a.mode}, {method}: {layers} layers, batch {a.batch} x {seconds} s, {a.device} {a.dtype}, products {torch.get_float32_matmul_precision()}, '
      f'{a.threads} threads, trainable {sum(p.numel() for p in trained)}, {"eval" if a.eval_mode else "train"} mode')
wave = torch.rand(a.batch, round(seconds * 24000), device=device) - .5
tags = (torch.rand(a.batch, 50, device=device) < .05).float()


def features(clock):
    with contextlib.nullcontext() if a.grad_prefix else torch.no_grad(), cast():
        x = mel(wave)
        sync(); clock.append(time.perf_counter())
        x = run_front(x)
        sync(); clock.append(time.perf_counter())
    return x


cached = features([]).detach().clone() if a.mode == 'cached' else None


def step():
    """Seconds of the parts, and of the whole."""
    clock = [time.perf_counter()]
    if cached is None:
        x = features(clock)
    else:
        x = cached
        clock += [clock[0], clock[0]]
    with cast():
        loss = F.binary_cross_entropy_with_logits(head(run_encoder(x).mean(1)), tags)
    sync(); clock.append(time.perf_counter())
    loss.backward()
    sync(); clock.append(time.perf_counter())
    torch.nn.utils.clip_grad_norm_(trained, 1.)
    adam.step()
    adam.zero_grad(set_to_none=True)
    sync(); clock.append(time.perf_counter())
    return [after - before for before, after in zip(clock, clock[1:])] + [clock[-1] - clock[0]]


for _ in range(a.warm):
    step()
if cuda:
    torch.cuda.reset_peak_memory_stats()
runs = [step() for _ in range(a.steps)]
*parts, whole = [statistics.median(column) for column in zip(*runs)]
cost = a.batch * seconds * ((front_cost if cached is None else 0) + 2 * encoder_cost)  # forward, and backward to inputs
print('mel %.3f | convolutions %.3f | encoder %.3f | backward %.3f | clip and Adam %.3f | ' % tuple(parts)
      + f'step {whole:.3f} s [{max(r[-1] for r in runs):.3f}..{min(r[-1] for r in runs):.3f}]')
line = f'{a.batch / whole:.3f} clips/s, {a.batch * seconds / whole:.1f} s of audio a second'
if not a.tiny:
    line += f', {cost / whole / 1e9:.0f} GFLOP/s'
    if a.peak_tflops:
        line += f', {cost / whole / a.peak_tflops / 1e10:.1f} % of the peak'
line += f', peak memory {common.peak_mb():.0f} MB'
if cuda:
    line += f', peak GPU memory {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB'
print(line, flush=True)
common.emit('a training step', whole, max(r[-1] for r in runs), min(r[-1] for r in runs), 's',
            f'{a.steps} steps, peak memory {common.peak_mb():.0f} MB')
