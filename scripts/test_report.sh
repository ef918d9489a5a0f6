#!/bin/sh
# test_report.sh RUST-LOG C-LOG PYTHON-LOG SECONDS: what `make test` ends with, from the logs of cargo, ctest and pytest.
set -eu
awk -v seconds="$4" '
    /^test result: / { rust += $4; failed += $6; ignored += $8 }
    / tests passed, .* tests? failed out of / { c = $0 }
    / Test +#[0-9]+: valgrind_/ { valgrind++ }
    / Test +#[0-9]+: (layer2_)?asan_/ { asan++ }
    /\*\*\*Skipped/ { skipped++ }
    / passed(, .*)? in [0-9.]+s/ { python = $0 }
    /^Python tests are left out/ { python = "left out" }
    END {
        printf "\nRust: %d tests passed, %d failed, %d ignored\n", rust, failed, ignored
        printf "C:    %s (%d of them under valgrind, %d with sanitizers, %d skipped)\n", c, valgrind, asan, skipped
        printf "Python: %s\n", python
        printf "Lints, licences and generated files: in order\nAll in %d s\n", seconds
    }' "$1" "$2" "$3"
