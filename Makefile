# The two commands on a fresh machine: `make demo` and `make test`. Both install what
# the build lacks first. The rest is for people who work on stegcluster.

# ccache, where it is installed, by the folder of compilers that it pretends to be. Not
# by CC and CXX: cargo would take those for a change and compile RocksDB once more.
CCACHE_DIRS := $(wildcard /usr/lib/ccache /usr/lib64/ccache /opt/homebrew/opt/ccache/libexec /usr/local/opt/ccache/libexec)
empty :=
space := $(empty) $(empty)
CARGO_BIN := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin
BUILD_PATH := $(subst $(space),:,$(strip $(CCACHE_DIRS) $(PATH) $(CARGO_BIN)))
# An assignment in front makes even an old make start a shell, which sees the new PATH.
CARGO := PATH="$(BUILD_PATH)" cargo

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Simulation is another build of everything (without RocksDB), kept in its own folder.
SIM_FLAGS := RUSTFLAGS="--cfg sim --cfg tokio_unstable"
SIM_DIR := --target-dir "$(TARGET_DIR)/sim"
SIM_BUILD := --locked --profile sim $(SIM_DIR)
SIM := $(SIM_FLAGS) $(CARGO) test $(SIM_BUILD) --test sim -- --nocapture
STATIC_TARGET := x86_64-unknown-linux-gnu
BUILT := $(TARGET_DIR)/$(STATIC_TARGET)/release
STATIC := $(BUILT)/stegcluster
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))
FUZZ := PATH="$(BUILD_PATH)" RUSTFLAGS= cargo +nightly fuzz run
# Tools that the checks need are compiled here, once.
TOOLS_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stegcluster/tools

VERSION := $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Where `make release` puts what it makes.
DIST := $(TARGET_DIR)/dist

.PHONY: deb rpm test-deb release reproducible cargo-tools help demo drill-all test browser-test api-test overload sim sim-soak soak upgrade-test cold-start build static check audit bench bench-codec fuzz clean setup cargo-deny

help: ## Show this list (the default)
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

demo: setup ## Build, then kill the leader of a local cluster five times under load
	$(CARGO) run --locked --release -- failover-drill --local 3 --iterations 5

# Another binary: make drill-all STEGCLUSTER=target/debug/stegcluster
STEGCLUSTER ?= $(TARGET_DIR)/release/stegcluster
DRILL_FOLDER ?= $(TARGET_DIR)/drill

drill-all: $(STEGCLUSTER) ## Each fault 5 times on 3 and on 5 nodes; reports in target/drill
	@mkdir -p $(DRILL_FOLDER)
	@set -e; for nodes in 3 5; do \
	  $(STEGCLUSTER) failover-drill --local $$nodes --faults all --rounds 5 \
	    --slo 'lost<=0,duplicated<=0,spurious_elections<=0' --evidence $(DRILL_FOLDER) \
	    --json $(DRILL_FOLDER)/drill-$$nodes.json --plot $(DRILL_FOLDER)/drill-$$nodes.png \
	    --html $(DRILL_FOLDER)/drill-$$nodes.html; \
	done; echo "reports: $(DRILL_FOLDER)"

$(TARGET_DIR)/release/stegcluster:
	$(MAKE) build

test: setup ## Run all tests, and some minutes of simulated clusters
	$(CARGO) test --locked
	@./tests/api/run.sh $(TARGET_DIR)/debug/stegcluster $(TOOLS_DIR)
	@./packaging/setup.sh browser
	./tests/browser/run.sh $(TARGET_DIR)/debug/stegcluster
	$(SIM)

browser-test: ## The dashboard in Chromium, against three real nodes; skipped without one
	@./packaging/setup.sh browser
	$(CARGO) build --locked
	./tests/browser/run.sh $(TARGET_DIR)/debug/stegcluster

api-test: setup ## Hold every answer of a node to openapi.json (schemathesis, by pip)
	$(CARGO) build --locked
	STEGCLUSTER_API_TEST=must ./tests/api/run.sh $(TARGET_DIR)/debug/stegcluster $(TOOLS_DIR)

overload: $(STEGCLUSTER) ## Ask 3 nodes for 10 times what they can do, for OVERLOAD_MINUTES (5)
	./tests/overload/run.py $(STEGCLUSTER) --minutes $(or $(OVERLOAD_MINUTES),5) \
	  --out $(TARGET_DIR)/overload

sim: setup ## Simulated clusters only; STEGCLUSTER_SIM_SEED=7 replays run 7
	$(SIM)

sim-soak: setup ## Simulate until stopped, or for SOAK_MINUTES, with ever new seeds
	STEGCLUSTER_SIM_MINUTES=$(or $(SOAK_MINUTES),5000000) \
	STEGCLUSTER_SIM_FROM=$(or $(STEGCLUSTER_SIM_FROM),$(shell date +%s)) \
	  $(SIM) every_property

soak: $(STEGCLUSTER) ## Three real nodes, load and faults for SOAK_MINUTES (60): what grows?
	benches/soak.py --stegcluster $(STEGCLUSTER) --minutes $(or $(SOAK_MINUTES),60) \
	  --json $(TARGET_DIR)/soak.json

cold-start: $(STEGCLUSTER) ## Ten thousand embeds, then how long a node takes to start
	benches/cold-start.py --stegcluster $(STEGCLUSTER)

# The version before: its format of the data folder and on the wire is read. Another build:
# make upgrade-test PREVIOUS=COMMIT UPGRADE_PROFILE=dev
PREVIOUS ?= 2d0d47a
UPGRADE := $(TARGET_DIR)/upgrade
UPGRADE_PROFILE ?= release
UPGRADE_OUT := $(TARGET_DIR)/$(if $(filter dev,$(UPGRADE_PROFILE)),debug,$(UPGRADE_PROFILE))/stegcluster

# Both are built into one folder of dependencies, so only the crate itself is compiled twice.
upgrade-test: setup ## Roll three nodes under load from the version before to this one
	rm -rf $(UPGRADE) && mkdir -p $(UPGRADE)/tree
	git archive $(PREVIOUS) | tar x -C $(UPGRADE)/tree
	cd $(UPGRADE)/tree && CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" \
	  $(CARGO) build --locked --profile $(UPGRADE_PROFILE)
	cp $(UPGRADE_OUT) $(UPGRADE)/old
	$(CARGO) build --locked --profile $(UPGRADE_PROFILE)
	cp $(UPGRADE_OUT) $(UPGRADE)/new
	benches/upgrade.py --old $(UPGRADE)/old --new $(UPGRADE)/new

build: setup ## Build target/release/stegcluster
	$(CARGO) build --locked --release

# RUSTFLAGS replaces what .cargo/config.toml says, so the processor is named again. No path of
# this machine is in the binary: panics name the files of crates, and C and C++ are compiled with
# paths relative to their crates. The linker keeps functions of the same code once (nothing here
# tells functions apart by their addresses, which neither Rust nor these libraries promise), and
# packs the addresses that are corrected at the start (glibc 2.36). LLVM copies a function into its
# callers up to this weight instead of 225: a ninth less code, and no slower. With 40 it would be:
# the rounds of SHA-256 are no longer one piece then (docs/SCALING.md).
CARGO_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
REMAP := --remap-path-prefix=$(CURDIR)=/stegcluster --remap-path-prefix=$(abspath $(TARGET_DIR))=/target \
  --remap-path-prefix=$(CARGO_FOLDER)=/cargo
SMALLER := -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs \
  -C llvm-args=-inline-threshold=75
# That the program will be static changes nothing of what C and C++ are compiled to.
static reproducible: export CCACHE_IGNOREOPTIONS = -static

static: ## Build one fully static binary for x86-64 Linux
	./packaging/setup.sh static
	RUSTFLAGS="-C target-cpu=x86-64-v2 -C target-feature=+crt-static $(REMAP) $(SMALLER)" \
	  $(CARGO) build --locked --release --target $(STATIC_TARGET)
	@ldd $(STATIC) 2>&1 | grep -Eq 'statically linked|not a dynamic executable' \
	  || { echo "$(STATIC) is not static:"; ldd $(STATIC); exit 1; }
	@$(STATIC) --version >/dev/null
	@for folder in "$(CURDIR)/" "$(abspath $(TARGET_DIR))/" "$(CARGO_FOLDER)/"; do \
	  ! grep -qF "$$folder" $(STATIC) || { echo "$(STATIC) names $$folder"; exit 1; }; done
	@echo "$(STATIC): statically linked, $$(wc -c < $(STATIC)) bytes"

release: static cargo-tools ## Binary, packages, archive, bill of materials and checksums, in target/dist
	PATH="$(BUILD_PATH)" ./packaging/release.sh "$(BUILT)" "$(DIST)"

reproducible: static ## Build the static binary once more elsewhere: are these the same bytes?
	./packaging/reproducible.sh $(STATIC) $(TARGET_DIR)/reproducible

deb: release ## The Debian package is one of them: target/dist/stegcluster_*.deb
rpm: release ## and so is the RPM: target/dist/stegcluster-*.rpm

test-deb: release ## Install, upgrade, remove and purge the package on this machine (root; see the script)
	CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))" PATH="$(BUILD_PATH)" cargo deb --quiet --locked --no-build \
	  --fast --no-strip --target $(STATIC_TARGET) --deb-version "$(VERSION)+1" --output "$(BUILT)/newer.deb"
	./packaging/test-deb.sh "$(DIST)/stegcluster_$(VERSION)-1_amd64.deb" "$(BUILT)/newer.deb"

check: setup cargo-deny ## Formatting, lints, licenses and sources of dependencies
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(SIM_FLAGS) $(CARGO) clippy $(SIM_BUILD) --lib --test sim -- -D warnings
	$(CARGO) deny --log-level error check bans licenses sources

audit: setup cargo-deny ## Known vulnerabilities of dependencies; needs the network
	$(CARGO) deny check advisories

bench-codec: setup ## Measure the codec on a photograph of 1920x1080
	$(CARGO) bench --locked --bench codec

fuzz: ## Fuzz what reads bytes from outside, FUZZ_SECONDS a target (60); needs a nightly Rust
	@for target in $(FUZZ_TARGETS); do mkdir -p fuzz/corpus/$$target && \
	  $(FUZZ) $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	  -max_total_time=$(or $(FUZZ_SECONDS),60) -max_len=4096 -timeout=10 || exit 1; done

bench: $(STEGCLUSTER) ## Codec, then the whole cluster beside etcd and bare sockets: the table in docs/PERFORMANCE.md
	$(CARGO) bench --locked
	benches/system.py --stegcluster $(STEGCLUSTER) --write docs/PERFORMANCE.md
	benches/idle.py --stegcluster $(STEGCLUSTER)
	benches/ledger.py --stegcluster $(STEGCLUSTER)

clean: ## Remove what was built here
	$(CARGO) clean

setup:
	@./packaging/setup.sh

cargo-deny: setup
	@PATH="$(BUILD_PATH)" sh -c 'command -v cargo-deny' >/dev/null \
	  || CARGO_TARGET_DIR="$(TOOLS_DIR)" RUSTFLAGS= $(CARGO) install --locked cargo-deny

cargo-tools: setup
	@for tool in cargo-deb cargo-generate-rpm cargo-cyclonedx; do \
	  PATH="$(BUILD_PATH)" sh -c "command -v $$tool" >/dev/null \
	  || CARGO_TARGET_DIR="$(TOOLS_DIR)" RUSTFLAGS= $(CARGO) install --locked $$tool || exit 1; done
