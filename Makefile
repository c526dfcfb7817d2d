# Two commands: `make book` and `make test`. `make help` lists the rest.
# Each target calls medlib or the workflow; nothing is implemented twice.

PYTHON ?= python3
PROFILE ?= cpu
CORES ?= 2
PORT ?= 8000
BIN := .venv/bin
RUN := $(BIN)/python -m book.workflow
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install data book fast quick site pdf editions serve test unit proofs stress browser verify publish results bench spread sync new gettext lint lock clean

help:  ## this list
	@echo "Deep learning in medical image classification - an executable book"
	@echo
	@sed -n 's/^\([a-z]*\):.*## /  make \1  # /p' $(MAKEFILE_LIST) | awk -F'#' '{printf "%-18s %s\n", $$1, $$2}'
	@echo
	@echo "Options: PROFILE=cpu|fast|gpu  CORES=2  CHAPTER=03-05-resnet  PYTHON=python3.12"
	@echo "On a cluster: make book PROFILE=gpu EXECUTOR=cluster/slurm"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) book/workflow/check_python.py
	@echo "Installing into .venv (once; about 90 seconds, 6 GB with a CUDA build of torch) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[book,export,test]'
	@touch $@

install: $(INSTALLED)  ## create .venv and install what the book and the tests need

data: $(INSTALLED)  ## get the data sets of the default book (ALL=1: every set)
	@$(BIN)/medlib data get $(if $(ALL),--all,)

book: $(INSTALLED)  ## execute every chapter (profile cpu), verify, build the site
	@$(RUN).build --profile $(PROFILE) --cores $(CORES) $(if $(EXECUTOR),--executor $(EXECUTOR),)

fast: $(INSTALLED)  ## the same with a few training steps a chapter: never results
	@$(RUN).build --profile fast --cores $(CORES)

quick: $(INSTALLED)  ## one real chapter and its page, within two minutes
	@$(RUN).build --profile $(PROFILE) --cores $(CORES) --only $(or $(CHAPTER),04-06-testing-once)

site: $(INSTALLED)  ## build the site from the chapters that were executed last
	@$(RUN).build --profile $(PROFILE) --site-only

editions: book  ## _build/public, to publish: the latest site and those of the releases (FROM=folder)
	@$(RUN).editions --profile $(PROFILE) $(if $(FROM),--from $(FROM),)

pdf: $(INSTALLED)  ## print the built site into _build/PROFILE/book.pdf (PAGES=first,last)
	@$(RUN).pdf --profile $(PROFILE) $(if $(PAGES),--pages $(PAGES),)

serve: $(INSTALLED)  ## look at the site on http://localhost:PORT
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/$(PROFILE)/html

test: $(INSTALLED)  ## lint, unit tests, the book in profile fast, the site in a real browser
	@$(RUN).test --cores $(CORES)

unit: $(INSTALLED)  ## the unit tests alone
	@$(BIN)/python -m pytest -m "not site"

proofs: $(INSTALLED)  ## prove every network at every size: what `make test` leaves out
	@$(BIN)/python -m pytest -m proofs tests

stress: $(INSTALLED)  ## try to break it: kills, lies, garbage, scale; an hour (ONLY="kill or lies")
	@$(RUN).stress $(if $(ONLY),--only "$(ONLY)",)

browser: $(INSTALLED)  ## the browser tests alone, on the site of profile fast
	@$(BIN)/python -m pytest tests/site

verify: $(INSTALLED)  ## compare the last run with the published edition; trains nothing
	@$(BIN)/medlib verify --profile $(PROFILE)

results: $(INSTALLED)  ## the long runs, hours, resumable: LONG="--list", LONG="--limit 60"
	@nice $(BIN)/python -m book.workflow.search_small
	@nice $(BIN)/python -m book.workflow.long_validate
	@nice $(RUN).long $(LONG)

publish: $(INSTALLED)  ## make the last run the published edition: results/PROFILE, then sync
	@$(BIN)/medlib publish --profile $(PROFILE)
	@$(RUN).sync

bench: $(INSTALLED)  ## speed and memory against the bars, on one thread (ONLY="fit loading")
	@OMP_NUM_THREADS=1 $(RUN).bench $(if $(ONLY),--only $(ONLY),) $(if $(JSON),--json $(JSON),)

spread: $(INSTALLED)  ## measure how far other threads and instruction sets move the results
	@$(RUN).spread --profile $(PROFILE) --cores $(CORES)

sync: $(INSTALLED)  ## write the Colab copies notebooks/*.ipynb
	@$(RUN).sync

new: $(INSTALLED)  ## a new chapter: make new CHAPTER=05-01-vit TITLE="Vision transformers"
	@$(RUN).new $(CHAPTER) $(if $(TITLE),--title "$(TITLE)",)

gettext: $(INSTALLED)  ## what there is to translate; PAGE=book/trust begins that page
	@$(RUN).catalogues $(if $(PAGE),--page $(PAGE),)

lint: $(INSTALLED)  ## style of the code, claims, prose, and the lock on the test labels
	@$(RUN).check

lock: $(INSTALLED)  ## write lock.txt (hashes) and licences.csv from constraints.txt
	@$(RUN).lock

clean:  ## remove what the build made; .venv and the data cache stay
	rm -rf _build
