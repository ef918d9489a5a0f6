#!/bin/bash
# sentences.sh [count]   refuses comments that open as a fragment: What, Where, How, Who, Of, So, As, Whether, Whose.
#                        A comment names its thing or begins with a verb (CONTRIBUTING.md). Also refuses more than 40
#                        clauses such as "what is left" or "where it is" in all comments. `count` prints the numbers.
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

# A clause in the place of a noun: "the rest" says it sooner than "what is left".
what='what (is|was|are|were|be|has|have|had|it|its|they|the|a|an|no|one|two|each|this|that|these|those|there|of|in)'
what+='|what (can|could|may|might|must|will|would|should|does|do|did|lies|lay|comes|came|goes|[a-z]+s|[a-z]+ed)'
where='where (it|they|there|that|this|those|these|one)'
clauses=$(git ls-files '*.rs' '*.c' '*.h' '*.hpp' '*.cpp' '*.py' '*.sh' '*.cmake' '*CMakeLists.txt' '*Makefile' |
    grep -v -e '^src/layer2/bindings.rs' -e '^c_tests/contract/' -e '^tests/vectors/' -e '^include/.*[.]h$' |
    xargs grep -nEi "(//|/\*|^ *\*|(^|[ ;])##? |\"\"\").*(^|[^a-z_])($what|$where)([^a-z]|\$)" || :)
number=$(grep -c . <<< "$clauses" || :)
echo "$number clauses with what or where"
if [ "${1-}" = '' ] && [ "$number" -gt 40 ]; then
    printf 'more than 40; name the thing instead:\n%s\n' "$clauses"
    exit 1
fi
