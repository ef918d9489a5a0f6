#!/bin/bash
# sentences.sh [count]   refuses comments that open as a fragment: What, Where, How, Who, Of, So, As, Whether, Whose.
#                        A comment names its thing or begins with a verb (CONTRIBUTING.md). `count` prints the numbers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A comment opens after a line that is not of it. Rust: /// and //! blocks. C: the line of /*.
git ls-files '*.rs' '*.c' '*.h' '*.hpp' '*.cpp' | grep -v -e '^src/layer2/bindings.rs' -e '^c_tests/contract/' -e '^include/.*[.]h$' |
    xargs awk -v count="${1-}" '
        FNR == 1 { before = "" }
        {
            mark = ""
            if (match($0, /^[ \t]*\/\/[\/!]( |$)/)) mark = substr($0, RSTART, RLENGTH)
            else if (FILENAME ~ /\.[ch](pp)?$/ && match($0, /^[ \t]*\/\*\*?( |$)/)) mark = substr($0, RSTART, RLENGTH)
            text = substr($0, RLENGTH + 1)
            gsub(/[ \t]+/, "", mark)
            if (mark != "" && (mark != before || mark ~ /\*/)) {
                comments++
                if (text ~ /^(What|Where|How|Who|Whose|Whom|Of|So|As|Whether)[ ,]/) {
                    fragments++
                    if (count == "") printf "%s:%d: %s\n", FILENAME, FNR, text
                }
            }
            before = mark
        }
        END {
            printf "%d of %d comments open as a fragment\n", fragments, comments
            exit fragments > 0 && count == ""
        }'
