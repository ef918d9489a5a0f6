# `make help` lists the targets. A target looks for the tools that it needs and prints the line that
# installs them; `make setup` and setup.sh install them. The libraries and C programs are CMake's
# (CMakeLists.txt), the Rust tests and lints are cargo's.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
FILE ?=
BENCH ?=
BARE ?=
WHEEL ?= $(wildcard build/wheel/*.whl)
export PREFIX FILE BENCH BARE

# The cargo on PATH comes first.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# The check of a target's requirements. `make ready=: ...` skips it.
ready ?= ./setup.sh check

# Neither cargo nor the make below has a share in the jobs of this one.
unmade := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL

# The command line is a target of its own, so that who wants the library does not wait for it.
# One library is built, tested and installed, and it has accelerators: a test of them needs them built in.
# A test there builds the crate in the dev profile, which cargo's own folder has the parts of. Whether
# there are tests is decided by the first target that needs them: a user's build looks for no sanitizers.
configure := $(unmade) cmake -S . -B build -DATLAS_MANIFOLD_CLI=OFF -DATLAS_MANIFOLD_OPENCL=ON
configure_tests := $(configure) -DATLAS_MANIFOLD_TESTS=ON -DATLAS_MANIFOLD_WERROR=ON -DATLAS_DEV_TARGET_DIR="$(CURDIR)/target"
configured := [ -f build/configured ] || { $(configure) -DATLAS_MANIFOLD_TESTS=OFF && touch build/configured; }
announced := [ -e build/lib/libatlas_manifold.a ] || echo 'Building the library for the first time: one to two minutes on two cores.'
cmake_build := $(unmade) cmake --build build -j $(JOBS)
ctest := cd build && $(unmade) ctest -j $(JOBS) --output-on-failure --no-tests=error

# Lints and tests of Rust share one build: the same features, and stale generated files are errors.
# Where libclang is missing the committed bindings are taken as they are.
checked := ATLAS_GENERATED=check $(unmade) cargo
generators = --features opencl,cbindgen$$(./setup.sh libclang && echo ,bindgen || :)

# Everything below that has a text behind ## is the name of a job and not of a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

##@ To use it

setup: ## installs the packages of the build and the tests: by apt-get as root, and Rust into the home folder
	@./setup.sh install

demo: ## the whole job on a real file: FILE=path, by default the largest library of the Rust toolchain
	@$(ready) build
	@$(configured)
	@$(announced)
	@$(cmake_build) --target example_demo example_classes example_parity example_container atlas_cli
	@scripts/demo.sh build/examples build/bin/atlasm "$$FILE"

build: ## the shared and the static library, in build/lib
	@$(ready) build
	@$(configured)
	@$(announced)
	@$(cmake_build) --target atlas_manifold_libraries atlas_conservation

cli: ## the command line, build/bin/atlasm, with its manual and completions; another minute or two
	@$(ready) build
	@$(configured)
	@$(cmake_build) --target atlas_cli

# With sudo the build is that of the user, from before.
install: $(if $(SUDO_USER),,build cli) ## installs below PREFIX (/usr/local); DESTDIR is respected
	@[ -e build/lib/libatlas_manifold.a ] || { echo 'nothing is built: run make first, without sudo' >&2; exit 1; }
	@[ -e build/bin/atlasm ] || echo 'without the command line, which make cli builds' >&2
	@cmake --install build --prefix "$$PREFIX"

wheel: ## the Python package with library and command line in one wheel, to build/wheel; for this machine's glibc and newer
	@$(ready) build
	@$(unmade) python/wheel.sh

uninstall: ## removes what `make install` of this version put below PREFIX
	@scripts/uninstall.sh build "$$PREFIX"

clean: ## removes all build outputs
	rm -rf build
	cargo clean

help: ## this list
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ To test it

# Link-time optimisation keeps one core busy, so that the library is built beside the lints and the tests of Rust; where
# that fails test-c shows why.
test: ## lints, generated files, Rust tests but for the long ones (test-long), C and Python tests
	@start=$$SECONDS; mkdir -p build; rm -f build/test-*.log; \
	$(ready) test; \
	echo 'Lints, Rust, C and Python tests: a quarter of an hour or more on two cores.'; \
	$(configure_tests) > build/library.log && touch build/configured; \
	$(cmake_build) --target atlas_manifold_libraries >> build/library.log 2>&1 & \
	for part in lint test-rust test-c test-python; do \
	    printf '\n== make %s\n' $$part; \
	    [ $$part != test-c ] || wait || :; \
	    $(MAKE) --no-print-directory ready=: $$part; \
	done; \
	scripts/test_report.sh build/test-rust.log build/test-c.log build/test-python.log $$((SECONDS - start))

lint: ## formatting, clippy, licences, and whether header, bindings and symbol list are fresh
	@$(ready) test
	@$(unmade) scripts/lint.sh $(generators)

test-rust: ## the Rust tests, those in the documentation included
	@$(ready) test
	@mkdir -p build
	{ $(checked) test --locked --no-fail-fast $(generators) && \
	    $(unmade) cargo test --locked --no-fail-fast --package atlasm; } 2>&1 | tee build/test-rust.log

test-c: ## the C and C++ tests and those of Layer 2, under valgrind and sanitizers too
	@$(ready) test
	@mkdir -p build
	$(configure_tests) && touch build/configured
	@$(announced)
	$(cmake_build)
	($(ctest)) 2>&1 | tee build/test-c.log

test-python: build ## the tests of the Python package, if Python 3.9 or newer and pytest are here
	@mkdir -p build
	@python/test.sh source 2>&1 | tee build/test-python.log

asan: ## the C tests under ASan and UBSan alone
	@$(ready) test
	@$(configure_tests) && touch build/configured
	@$(cmake_build)
	@$(ctest) -L asan

valgrind: ## the C tests under valgrind alone
	@$(ready) test
	@$(configure_tests) && touch build/configured
	@$(cmake_build)
	@$(ctest) -C Long -L valgrind

##@ To test it for longer

test-long: ## the Rust tests that `make test` leaves out, two builds that must be equal, 500 writers that are killed, and MPI and nginx if they are here: half an hour
	@$(ready) test
	$(unmade) cargo test --release --config profile.release.lto=false --locked --no-fail-fast -- --ignored
	$(unmade) cargo test --release --config profile.release.lto=false --locked --package atlasm -- --ignored
	$(unmade) c_tests/scripts/reproducible.sh build
	@$(configure_tests) && touch build/configured
	@$(cmake_build) --target api_container_processes_shared
	build/c_tests/api_container_processes_shared 500
	@$(cmake_build)
	$(ctest) -C Long -R '^(valgrind_api_(container|operation)|outside_prebuilt_layer2)'
	@$(peers)
	$(bench_cargo) check --locked --manifest-path bench/Cargo.toml --features peers
	examples/mpi/test.sh build
	examples/http_test.sh build
	examples/python/test.sh
	python/test.sh cost

faults: ## every allocation, every call for files and every call of OpenCL fails in turn; counts the aborts; minutes
	@$(ready) test
	@$(configure_tests) && touch build/configured
	@$(cmake_build) --target api_faults
	build/c_tests/api_faults memory all
	build/c_tests/api_faults files all
	@$(cmake_build)
	$(ctest) -C Long -R '^api_accelerator_faults_all'

test-wheel: wheel ## the wheel, installed and tested with every Python of this machine from 3.9 on
	python/test.sh wheel

test-bare: ## setup.sh demo and test in a bare Debian, as root and as nobody; needs root, half an hour; BARE='root demo' for a part
	@scripts/test_bare.sh build/bare $$BARE

test-dist: ## whether two releases from two folders are the same bytes, and their packages work; needs git, 15 minutes
	@$(ready) build
	@mkdir -p build
	$(unmade) c_tests/scripts/check_dist.sh build

consumers: ## every way in which another project uses the library, beyond those of `make test`; ten minutes
	@$(ready) test
	$(unmade) c_tests/scripts/consumers.sh build/consumers

test-oldest: ## whether all compiles with the oldest Rust that Cargo.toml allows, which rustup fetches
	@$(ready) build
	@oldest=$$(sed -n 's/^rust-version = "\([0-9.]*\)"/\1/p' Cargo.toml).0; \
	rustup toolchain install --profile minimal --no-self-update $$oldest; \
	$(unmade) cargo +$$oldest check --locked --all-targets

loom: ## interleavings of the lock-free code, of tickets of the pool, and of the delivery of results in order
	@$(ready) build
	RUSTFLAGS="--cfg loom" $(unmade) cargo test --release --manifest-path tests/loom/Cargo.toml

fuzz: ## hostile input under ASan, SECONDS=30 for each target; sets cargo-fuzz up, new inputs go to build/fuzz
	@$(ready) build
	@command -v cargo-fuzz > /dev/null || $(unmade) cargo install --quiet --locked --version 0.13.2 cargo-fuzz
	@for target in $$(cargo fuzz list); do \
	    mkdir -p build/fuzz/$$target; \
	    RUSTC_BOOTSTRAP=1 $(unmade) cargo fuzz run "$$target" build/fuzz/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(or $(SECONDS),30) -print_final_stats=1; \
	done

mutants: ## changes the library in 300 places, one at a time, which the Rust tests must notice; an hour on two cores. DIFF=file for the lines of a diff; sets cargo-mutants up
	@$(ready) build
	@command -v cargo-mutants > /dev/null || $(unmade) cargo install --quiet --locked --version 27.1.0 cargo-mutants
	@$(unmade) tests/mutants.py build/mutants $(if $(DIFF),--diff "$(DIFF)")

coverage: build ## lines and branches that the Rust and C tests reach, and which status of which C function they produce; needs llvm-19; a quarter of an hour
	@$(ready) test
	@$(unmade) scripts/coverage.sh build/coverage

asan-library: ## C tests against a library that is instrumented by ASan itself; the first build takes minutes
	@$(ready) test
	@$(unmade) c_tests/scripts/asan_library.sh build/asan-library

tsan: ## the Rust tests under ThreadSanitizer, with a standard library that is instrumented too: half an hour; Debian's second Rust is fetched
	@$(ready) build
	@$(unmade) tests/tsan.sh build/tsan

features: ## Cargo features, none, all but each, each alone and all: lints, tests, exported names; an hour
	@$(ready) test
	@$(unmade) tests/features.sh check

neon: ## the tests of Layer 2 for AArch64, whose sums are NEON's, under an emulator (./setup.sh neon installs it)
	@$(ready) neon
	@$(unmade) cmake -S layer2 -B build/neon -DCMAKE_BUILD_TYPE=Release -DATLAS_CONSERVATION_WERROR=ON \
	    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
	    -DCMAKE_CXX_COMPILER=NOTFOUND -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64
	@$(unmade) cmake --build build/neon -j $(JOBS)
	@cd build/neon && $(unmade) ctest -j $(JOBS) --output-on-failure --no-tests=error
	@qemu-aarch64 build/neon/tests/layer2_sum | grep -x 'path neon'

cross: ## Rust and C tests for i686, s390x (big-endian), AArch64, musl and Windows, under emulators (./setup.sh cross installs them); hours; SYSTEMS=i686 for one
	@$(ready) cross
	@$(unmade) tests/cross.sh $(SYSTEMS)

##@ To change it

generate: ## renews the header, the bindings of Layer 2 (with libclang), the list of symbols and that of the new ABI items
	@$(ready) test
	ATLAS_GENERATED=update $(unmade) cargo check --locked $(generators)
	@mkdir -p build
	c_tests/scripts/symbols.sh include/atlas_manifold.h > build/symbols.txt
	cp build/symbols.txt c_tests/symbols.txt
	@$(MAKE) --no-print-directory ready=: abi
	@! command -v python3 > /dev/null || python3 python/generate.py
	@./setup.sh libclang || echo 'without libclang the bindings of Layer 2 are left as they are'

dist: ## a release in build/dist: source with crates, TGZ, .deb, SBOM, licences, sums, and the wheel if `make wheel` made it before; ten minutes
	@$(ready) build
	@$(unmade) scripts/dist.sh build/dist $(WHEEL)

abi: ## lists the additions to the C ABI since the release in c_tests/abi/added.txt; refuses changes and removals
	c_tests/scripts/abi.sh update include/atlas_manifold.h c_tests/abi

abi-release: ## makes the C ABI as it is now the released one, in c_tests/abi/released.txt: with a release, or a new soname
	c_tests/scripts/abi.sh release include/atlas_manifold.h c_tests/abi

features-size: ## what each Cargo feature adds to the shared library
	@$(ready) build
	@$(unmade) tests/features.sh size

docs: build ## the reference as pages in build/docs/site, and manual pages of section 3; Doxygen, and Sphinx from PyPI
	@$(unmade) scripts/docs.sh build

##@ To measure it

# The library as it is shipped, in programs of the package in bench/.
bench_cargo := ATLAS_LIBRARY_DIR="$(CURDIR)/build/lib" ATLAS_PEERS_DIR="$(CURDIR)/build/peers" $(unmade) cargo
bench_run := $(bench_cargo) run --release --locked --manifest-path bench/Cargo.toml
peers := bench/src/peers/setup.sh build/peers

bench: build ## what the library does on this machine, to bench/report.json; BENCH='ITERATIONS SECONDS MIB...' or '--compare A B' of two of these
	$(bench_run) --bin atlas_bench_suite -- bench $$BENCH

bench-core: build ## the figures of the core through the C API; BENCH=what, as bench/src/main.rs says
	$(bench_run) -- $$BENCH

bench-stream: build ## streaming against BLAKE3 and a plain read, files of 4 GiB (push 512 MiB, resident sparse ones of 1 to 64 GiB); BENCH='file|cold|push|resident DIR'
	$(bench_run) --bin atlas_bench_stream -- $${BENCH:-file build}

bench-compression: build ## compression against plain DEFLATE on six kinds of data; BENCH='NAME...' for some of them
	@$(peers) data
	$(bench_run) --bin atlas_bench_compression -- build/peers $$BENCH

bench-peers: build ## the library beside c-blosc2, libdeflate, BLAKE3, ISA-L and others, to bench/peers.md; BENCH=part
	@$(peers)
	$(bench_run) --features peers --bin atlas_bench_peers -- build/peers bench/peers.md $$BENCH

bench-accelerator: build ## the first OpenCL device beside the processor; BENCH as bench/accelerator.c says, otherwise all with 512 MiB
	@mkdir -p build/bench
	@$(unmade) $(CC) -std=c17 -O2 -Iinclude -o build/bench/accelerator bench/accelerator.c -Lbuild/lib \
	    -Wl,-rpath,"$(CURDIR)/build/lib" -latlas_manifold -lpthread -ldl
	@cd build/bench && if [ -n "$$BENCH" ]; then ./accelerator $$BENCH; else \
	    ./accelerator kernels ../../src/accelerator/kernels.cl 512 && \
	    ./accelerator copy ../../src/accelerator/kernels.cl 512 && ./accelerator library 512 file; fi

bench-micro: ## sums, digests, trees, filters and the transform, each alone; BENCH=what, as divan understands it
	@$(ready) build
	$(bench_cargo) bench --locked --manifest-path bench/Cargo.toml --package atlas_micro -- $$BENCH
