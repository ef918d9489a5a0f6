# `make help` lists what there is. Each target sets itself up: setup.sh installs what is missing.
# The libraries and C programs are CMake's (CMakeLists.txt), the Rust tests and lints are cargo's.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
FILE ?=
BENCH ?=
export PREFIX FILE BENCH

# The cargo on PATH comes first.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# What makes a target ready. `make setup=: ...` takes that for done.
setup ?= ./setup.sh

# Neither cargo nor the make below has a share in the jobs of this one.
unmade := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

# A test there builds the crate in the dev profile, which cargo's own folder has the parts of.
configure := $(unmade) cmake -S . -B build -DATLAS_DEV_TARGET_DIR="$(CURDIR)/target"
cmake_build := $(unmade) cmake --build build -j $(JOBS)
configure_tests := $(configure) -DATLAS_MANIFOLD_TESTS=ON -DATLAS_MANIFOLD_WERROR=ON
ctest := cd build && $(unmade) ctest -j $(JOBS) --output-on-failure --no-tests=error

# Lints and tests of Rust share one build: the same features, and stale generated files are errors.
# A normal build has neither generator.
# Where libclang is missing the committed bindings are taken as they are.
checked := ATLAS_GENERATED=check $(unmade) cargo
generators = --features cbindgen$$(./setup.sh libclang && echo ,bindgen || :)
smallest = --no-default-features --features std $(generators)

.PHONY: build demo test lint test-rust test-long test-c fuzz loom asan asan-library valgrind neon generate features features-size bench bench-micro bench-peers bench-compression bench-stream bench-core install clean help

build: ## the shared and the static library, in build/lib
	@$(setup) build
	@[ -f build/configured ] || { $(configure) && touch build/configured; }
	@$(cmake_build) --target atlas_manifold_libraries atlas_conservation

demo: ## the whole job on a real file: FILE=path, by default the largest library of the Rust toolchain
	@$(setup) build
	@[ -f build/configured ] || { $(configure) && touch build/configured; }
	@$(cmake_build) --target example_demo example_classes
	@file=$$FILE; \
	if [ -z "$$file" ]; then \
	    libraries=$$(rustc --print sysroot)/lib; \
	    file=$$(find "$$libraries" -name '*.so*' -type f -printf '%s %p\n' | sort -rn | sed -n '1s/^[0-9]* //p'); \
	    [ -n "$$file" ] || { echo "no shared library in $$libraries: name a file, as in 'make demo FILE=path'" >&2; exit 1; }; \
	fi; \
	build/examples/example_demo "$$file"; \
	printf '\nThe same file as 96 classes, of which any 64 rebuild it:\n\n'; \
	exec build/examples/example_classes "$$file"

test: ## lints, generated files, Rust tests but for the long ones (test-long), C tests
	@start=$$SECONDS; mkdir -p build; rm -f build/test-*.log; \
	$(setup) test; \
	for part in lint test-rust test-c; do \
	    $(MAKE) --no-print-directory setup=: $$part; \
	done; \
	awk -v seconds=$$((SECONDS - start)) \
	    '/^test result: / { rust += $$4; failed += $$6; ignored += $$8 } \
	     / tests passed, .* tests? failed out of / { c = $$0 } \
	     / Test +#[0-9]+: valgrind_/ { valgrind++ } / Test +#[0-9]+: (layer2_)?asan_/ { asan++ } /\*\*\*Skipped/ { skipped++ } \
	     END { printf "\nRust: %d tests passed, %d failed, %d ignored\n", rust, failed, ignored; \
	           printf "C:    %s (%d of them under valgrind, %d with sanitizers, %d skipped)\n", c, valgrind, asan, skipped; \
	           printf "Lints and generated files: in order\nAll in %d s\n", seconds }' build/test-rust.log build/test-c.log

lint: ## formatting, clippy, and whether header, bindings and symbol list are fresh
	@$(setup) test
	cargo fmt --check
	rustfmt --check --edition 2024 bench/build.rs bench/src/*.rs bench/src/*/main.rs bench/micro/benches/*.rs
	$(checked) clippy --locked --all-targets $(generators) -- -D warnings
	$(unmade) cargo clippy --locked --lib $(smallest) -- -D warnings
	$(unmade) cargo check --locked --package atlas_bench
	$(unmade) cargo check --locked --package atlas_micro --benches
	c_tests/scripts/check_symbols.sh header include/atlas_manifold.h c_tests/symbols.txt

test-rust: ## the Rust tests, those in the documentation included
	@$(setup) test
	@mkdir -p build
	$(checked) test --locked --no-fail-fast $(generators) 2>&1 | tee build/test-rust.log

test-long: ## the Rust tests that `make test` leaves out for their time: some minutes
	@$(setup) test
	$(unmade) cargo test --release --config profile.release.lto=false --locked --no-fail-fast -- --ignored

test-c: ## the C and C++ tests and those of Layer 2, under valgrind and sanitizers too
	@$(setup) test
	@mkdir -p build
	$(configure_tests) && touch build/configured
	$(cmake_build)
	($(ctest)) 2>&1 | tee build/test-c.log

fuzz: ## hostile input under ASan, SECONDS=60 for each target; sets cargo-fuzz up
	@$(setup) build
	@command -v cargo-fuzz > /dev/null || $(unmade) cargo install --quiet --locked --version 0.13.2 cargo-fuzz
	@for target in $$(cargo fuzz list); do \
	    RUSTC_BOOTSTRAP=1 $(unmade) cargo fuzz run "$$target" -- -max_total_time=$(or $(SECONDS),60); \
	done

loom: ## every interleaving of the lock-free code
	@$(setup) build
	RUSTFLAGS="--cfg loom" $(unmade) cargo test --release --manifest-path tests/loom/Cargo.toml

asan: ## the C tests under ASan and UBSan alone
	@$(setup) test
	@$(configure_tests) && touch build/configured
	@$(cmake_build)
	@$(ctest) -L asan

asan-library: ## C tests against a library that is instrumented by ASan itself; the first build takes minutes
	@$(setup) test
	@$(unmade) c_tests/scripts/asan_library.sh build/asan-library

valgrind: ## the C tests under valgrind alone
	@$(setup) test
	@$(configure_tests) && touch build/configured
	@$(cmake_build)
	@$(ctest) -L valgrind

neon: ## the tests of Layer 2 for AArch64, whose sums are NEON's, under an emulator
	@$(setup) neon
	@$(unmade) cmake -S layer2 -B build/neon -DCMAKE_BUILD_TYPE=Release -DATLAS_CONSERVATION_WERROR=ON \
	    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
	    -DCMAKE_CXX_COMPILER=NOTFOUND -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64
	@$(unmade) cmake --build build/neon -j $(JOBS)
	@cd build/neon && $(unmade) ctest -j $(JOBS) --output-on-failure --no-tests=error
	@qemu-aarch64 build/neon/tests/layer2_sum | grep -x 'path neon'

generate: ## renews the header, the bindings of Layer 2 (with libclang) and the list of symbols
	@$(setup) test
	ATLAS_GENERATED=update $(unmade) cargo check --locked $(generators)
	@mkdir -p build
	c_tests/scripts/symbols.sh include/atlas_manifold.h > build/symbols.txt
	cp build/symbols.txt c_tests/symbols.txt
	@./setup.sh libclang || echo 'without libclang the bindings of Layer 2 are left as they are'

features: ## every subset of the Cargo features: lints, tests, exported names; some minutes
	@$(setup) test
	@$(unmade) tests/features.sh check

features-size: ## what each Cargo feature adds to the shared library
	@$(setup) build
	@$(unmade) tests/features.sh size

bench: build ## what the library does on this machine, to bench/report.html; BENCH='ITERATIONS SECONDS MIB...' or '--compare A B' of two report.json
	ATLAS_LIBRARY_DIR="$(CURDIR)/build/lib" $(unmade) cargo run --release --locked --manifest-path bench/Cargo.toml \
	    --bin atlas_bench_suite -- bench $$BENCH

bench-micro: ## sums, digests, trees, filters and the transform, each alone; BENCH=what, as divan understands it
	@$(setup) build
	$(unmade) cargo bench --locked --manifest-path bench/Cargo.toml --package atlas_micro -- $$BENCH

bench-peers: build ## the library beside c-blosc2, libdeflate, BLAKE3, ISA-L and others, to bench/peers.md; BENCH=part
	@bench/src/peers/setup.sh build/peers
	ATLAS_LIBRARY_DIR="$(CURDIR)/build/lib" ATLAS_PEERS_DIR="$(CURDIR)/build/peers" $(unmade) cargo run --release \
	    --locked --manifest-path bench/Cargo.toml --features peers --bin atlas_bench_peers -- build/peers bench/peers.md $$BENCH

bench-compression: build ## compression against plain DEFLATE on six kinds of data; BENCH='NAME...' for some of them
	@bench/src/peers/setup.sh build/peers data
	ATLAS_LIBRARY_DIR="$(CURDIR)/build/lib" $(unmade) cargo run --release --locked --manifest-path bench/Cargo.toml \
	    --bin atlas_bench_compression -- build/peers $$BENCH

bench-core: build ## the figures of the core through the C API; BENCH=what, as bench/src/main.rs says
	ATLAS_LIBRARY_DIR="$(CURDIR)/build/lib" $(unmade) cargo run --release --locked --manifest-path bench/Cargo.toml -- $$BENCH

bench-stream: build ## streaming against BLAKE3 and a plain read, files of 4 GiB (push 512 MiB, resident sparse ones of 1 to 64 GiB); BENCH='file|cold|push|resident DIR'
	ATLAS_LIBRARY_DIR="$(CURDIR)/build/lib" $(unmade) cargo run --release --locked --manifest-path bench/Cargo.toml \
	    --bin atlas_bench_stream -- $${BENCH:-file build}

# With sudo the build is that of the user, from before.
install: $(if $(SUDO_USER),,build) ## installs below PREFIX (/usr/local); DESTDIR is respected
	@[ -e build/lib/libatlas_manifold.a ] || { echo 'nothing is built: run make first, without sudo' >&2; exit 1; }
	@cmake --install build --prefix "$$PREFIX"

clean: ## removes what was built
	rm -rf build
	cargo clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
