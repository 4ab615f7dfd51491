# The workshop's shortcuts over the command `deeper`. Every target prints what it runs, and any
# variable can be given: make gguf QUANT=Q5_K_M. On Windows, type what `make -n TARGET` prints.

DEEPER       ?= cargo run --quiet --release --bin deeper --
TRAIN_CONFIG ?= train
EVAL_CONFIG  ?= eval
BASE         ?= output_models/deeper-base
ADAPTER      ?= output_models/runs/latest/model
MERGED       ?= output_models/runs/merged
QUANT        ?= Q8_0
GGUF         ?= output_models/runs/merged-$(QUANT).gguf
CHAT_EXPORT  ?= conversations.json
CHAT_ROWS    ?= data/chat.jsonl
HF_REPO_ID   ?=
# What a new model card says: LICENSE_ID=apache-2.0 BASE_ID=org/name
LICENSE_ID   ?=
BASE_ID      ?=

.DEFAULT_GOAL := help
.PHONY: help venv install convert train eval eval-baseline merge gguf publish-hf

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -e 's/:.*##/:/'

venv: ## nothing: there is no Python to install
	@echo 'nothing to do: the pipeline is Rust; next: make install'

install: ## build the command
	cargo build --release --bin deeper

convert: ## a ChatGPT export to rows for training
	$(DEEPER) convert chatgpt --input $(CHAT_EXPORT) --out $(CHAT_ROWS)

train: ## LoRA or full, as configs/TRAIN_CONFIG.yaml says
	$(DEEPER) train --config configs/$(TRAIN_CONFIG).yaml

eval: ## what the tuned model answers, by metric
	$(DEEPER) eval --config configs/$(EVAL_CONFIG).yaml

eval-baseline: ## the same for the model before training
	$(DEEPER) eval --config configs/eval_baseline.yaml

merge: ## the adapter into its model
	$(DEEPER) merge --model $(BASE) --adapter $(ADAPTER) --out $(MERGED)

gguf: ## the merged model for llama.cpp and Ollama, as QUANT
	$(DEEPER) export gguf --model $(MERGED) --quant $(QUANT) --out $(GGUF) --overwrite

publish-hf: ## the merged model onto the hub as HF_REPO_ID; token in HF_TOKEN; add DRY_RUN=1 to look first
	$(if $(HF_REPO_ID),,$(error set HF_REPO_ID=name/model))
	$(DEEPER) publish --folder $(MERGED) --repo $(HF_REPO_ID)$(if $(LICENSE_ID), --license $(LICENSE_ID))$(if $(BASE_ID), --base-model $(BASE_ID))$(if $(DRY_RUN), --dry-run)
