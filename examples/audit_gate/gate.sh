#!/usr/bin/env bash
# Holds each policy that differs from a base commit against limits, and writes one Markdown summary.
#
#     gate.sh BASE [SUMMARY]
#
# BASE is a branch or commit; what counts is where HEAD left it. Dataset, model and store are those of
# AUDIT_GATE_DATASET, AUDIT_MODEL and AUDIT_GATE_STORE. AUDIT_GATE_LIMITS names another limits file.
# Exits with 0 where all pass, 1 where one fails or is refused, 4 where one has too little data, and
# with 2 or 3 where the gate itself could not answer.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
summary=${2:-audit-gate.md}
[[ $summary == /* ]] || summary=$PWD/$summary
cd "$(git rev-parse --show-toplevel)"
base=$(git merge-base "${1:?usage: gate.sh BASE [SUMMARY]}" HEAD)
export AUDIT_GATE_LIMITS=${AUDIT_GATE_LIMITS:-$here/limits.yaml}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
worst=0

# What a gate could not answer comes first, then fail, then too little data.
rank() { case $1 in 0) echo 0 ;; 4) echo 1 ;; 1) echo 2 ;; *) echo 3 ;; esac; }

# hold POLICY [OLD]: adds the answer on one policy to the summary.
hold() {
    local policy=$1 old=${2:-} baseline=$1 code=0
    if [[ $old ]]; then
        baseline=$scratch/${old##*/}
        git show "$base:$old" > "$baseline"
    fi
    rm -f "$scratch/answer.md"
    audit gate --policy "$policy" --baseline "$baseline" --summary "$scratch/answer.md" \
        > /dev/null 2> "$scratch/said" || code=$?
    {
        printf '\n## %s\n\n' "$policy"
        [[ $old ]] || printf 'New, so it is its own baseline: nothing is said of a rise.\n\n'
        if [[ -f $scratch/answer.md ]]; then
            cat "$scratch/answer.md"
        else
            printf '### No answer: exit code %s\n\n' "$code"
            sed 's/^/    /' "$scratch/said"
        fi
    } >> "$summary"
    echo "$policy: exit code $code" >&2
    if (($(rank "$code") > $(rank "$worst"))); then worst=$code; fi
}

# The first line is how the workflow finds its comment again.
printf '<!-- audit-gate -->\n' > "$summary"
git diff --name-status -z --diff-filter=d -M "$base" -- \
    ':(glob)policies/**/*.yaml' ':(glob)policies/**/*.yml' ':(exclude)policies/variants' \
    > "$scratch/changes"
while IFS= read -r -d '' status; do
    IFS= read -r -d '' old
    policy=$old
    case $status in
        R*) IFS= read -r -d '' policy ;;
        A) old= ;;
    esac
    hold "$policy" "$old"
done < "$scratch/changes"
[[ -s $scratch/changes ]] || printf '\nNo policy changed.\n' >> "$summary"
exit "$worst"
