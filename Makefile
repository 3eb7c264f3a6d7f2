# étude: from a folder of music to a scored model. A bare `make` lists the targets.
#
#   make train                                            the whole story on a synthetic demo corpus: a small MusicFM is
#                                                         pre-trained, then tuned in four ways, and one table compares them
#   make CORPUS=mtat RAW=/path/to/magnatagatune train     the same on MagnaTagATune
#
# CORPUS   demo (default), mtat, mtg_jamendo, or any name with a configs/data/<name>.toml
# RAW      folder with the corpus as downloaded (default: data/raw/<corpus>)
# RATE     samples per second of the shards (default: as in the data config)
# EXPERIMENT, SEED   one experiment to run instead, e.g. configs/demo/vggish.toml, and its seed
# LIBTORCH folder of an existing libtorch 2.11 (default: one is fetched once)
# CPU      what the release binary is built for (default: x86-64-v3, that is AVX2 and FMA, where this machine has it; CPU= for
#          any processor of its kind). The files that étude writes have the same bytes either way
# MUSIC    for `make pgo`: a folder with a few files like those to be ingested
# PEERS_PYTHON  for `make bench`: a Python that has the packages of benches/peers/README.md

CORPUS     ?= demo
DATA       ?= configs/data/$(CORPUS).toml
# what `make train` runs on a corpus: the story on the demo, a network without pre-training on MagnaTagATune
EXPERIMENT ?= $(if $(filter mtat,$(CORPUS)),configs/limited/tagging/vggish_mtat.toml)
RATE       ?= $(if $(filter configs/limited/tagging/vggish_mtat.toml,$(EXPERIMENT)),16000)
STORY      := $(wildcard configs/demo/musicfm/*.toml)
SEED       ?=
RAW        ?=
ARGS       ?=

CARGO  ?= cargo
V3     := avx avx2 bmi1 bmi2 f16c fma abm movbe
FLAGS  := $(shell grep -m1 -s ^flags /proc/cpuinfo)
CPU    ?= $(if $(filter-out $(FLAGS),$(V3)),,x86-64-v3)
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
COUNTS := $(wildcard $(TARGET)/pgo/etude.profdata)
NATIVE := $(strip $(RUSTFLAGS) $(if $(CPU),-C target-cpu=$(CPU)))
GUIDED := $(strip $(NATIVE) $(if $(COUNTS),-C profile-use=$(abspath $(COUNTS))))
ETUDE  := $(TARGET)/release/etude
ROOT   := $(if $(RAW),--set root='"$(RAW)"')
RATED  := $(if $(RATE),--set shards.rate=$(RATE))
SEEDED := $(if $(SEED),--set run.seed=$(SEED))

.DEFAULT_GOAL := help
.PHONY: help build pgo demo ingest shards train eval inspect table study-demo gpu-bench doctor test test-data lint fmt doc bench torture ci

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  variables: CORPUS=$(CORPUS)  RAW=$(or $(RAW),data/raw/$(CORPUS))  EXPERIMENT=$(EXPERIMENT)"

build: ## fetch libtorch once and build the release binary
	@LIBTORCH="$$(scripts/libtorch.sh)"; export LIBTORCH; RUSTFLAGS="$(GUIDED)" $(CARGO) build --release -p etude-cli

pgo: ## count what the decoder does with the files in MUSIC: later builds ingest MP3s 8 % faster
	@LIBTORCH="$$(scripts/libtorch.sh)"; export LIBTORCH; CARGO="$(CARGO)" scripts/pgo.sh "$(MUSIC)" "$(TARGET)" "$(NATIVE)"

demo: build ## synthesise the demo corpus
	@[ "$(CORPUS)" != demo ] || $(ETUDE) demo --out $(or $(RAW),data/raw/demo)

ingest: demo ## decode every file once; write tracks, views and splits
	@$(ETUDE) ingest $(DATA) $(ROOT)

shards: ingest ## decode, resample and write Parquet shards
	@$(ETUDE) shards $(DATA) $(ROOT) $(RATED)
	@[ "$(CORPUS)" != demo ] || $(ETUDE) shards $(DATA) $(ROOT) --set shards.rate=24000

train: shards ## train, score on the test split, compare
ifneq ($(EXPERIMENT),)
	@$(ETUDE) train $(EXPERIMENT) $(SEEDED) --resume $(ARGS)
	@$(ETUDE) eval $(EXPERIMENT) $(SEEDED)
else ifeq ($(CORPUS),demo)
	@$(ETUDE) sweep $(STORY) $(ARGS)
	@$(ETUDE) table demo/musicfm --html runs/demo/musicfm.html
else
	@echo "which experiment? e.g. make CORPUS=$(CORPUS) EXPERIMENT=configs/peft/mtg_top50/musicfm_lora.toml train" >&2; exit 2
endif

eval: build ## score the last run of EXPERIMENT on the test split
	@$(ETUDE) eval $(EXPERIMENT) $(SEEDED) $(ARGS)

inspect: build ## show what is in the manifest of CORPUS
	@$(ETUDE) inspect data/manifests/$(CORPUS).tracks.parquet $(ARGS)

table: build ## our rows beside the published ones of PAPER (default: CORPUS)
	@$(ETUDE) table $(or $(PAPER),$(CORPUS)) $(ARGS)

study-demo: build ## both studies in small on the demo corpora, with their figures
	@$(ETUDE) demo --out data/raw/demo
	@$(ETUDE) demo --culture modal --out data/raw/demo_modal
	@$(ETUDE) demo --notes --out data/raw/demo_notes
	@for corpus in demo demo_modal demo_notes; do $(ETUDE) ingest configs/data/$$corpus.toml || exit; done
	@for corpus in demo demo_notes; do for rate in 16000 22050; do \
	  $(ETUDE) shards configs/data/$$corpus.toml --set shards.rate=$$rate || exit; done; done
	@for corpus in demo demo_modal; do \
	  $(ETUDE) shards configs/data/$$corpus.toml --set shards.mel=vgg_16k_db || exit; done
	@for features in chroma mfcc; do \
	  $(ETUDE) shards configs/data/demo_notes.toml --set shards.features=$$features || exit; done
	@$(ETUDE) study limited --config configs/demo/study_limited.toml $(ARGS)
	@$(ETUDE) study transfer --config configs/demo/study_transfer.toml $(ARGS)

gpu-bench: build ## what this GPU is worth: MusicFM and MERT at full size, into benches/results (PEERS_PYTHON: beside Python)
	@$(ETUDE) bench gpu $(if $(PEERS_PYTHON),--peers $(PEERS_PYTHON)) $(ARGS)

doctor: build ## what works on this machine, and what to do about what does not
	@$(ETUDE) doctor

test: lint ## fmt, clippy, all tests
	@LIBTORCH="$$(scripts/libtorch.sh)"; export LIBTORCH; $(CARGO) test --workspace

test-data: ## the crates that need no libtorch
	$(CARGO) test

# files by name: rustfmt does not look into the lists of corpora, backbones and tasks, which declare modules
SOURCES = $(shell find . -name '*.rs' -not -path '*/target/*')

lint: ## fmt and clippy, warnings denied
	@$(CARGO) fmt --all -- --check $(SOURCES)
	@LIBTORCH="$$(scripts/libtorch.sh)"; export LIBTORCH; $(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## format the code
	@$(CARGO) fmt --all -- $(SOURCES)

doc: ## build the API documentation, broken links denied
	@LIBTORCH="$$(scripts/libtorch.sh)"; export LIBTORCH; RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

bench: build ## étude beside what people use today, in one table (BENCH=ingest,mel for some of it)
	@python3 benches/run.py --etude $(ETUDE) $(if $(BENCH),--only $(BENCH)) $(ARGS)

torture: build ## 200 random kills of every stage (long)
	scripts/torture.sh $(ETUDE)

ci: test doc ## what continuous integration runs
