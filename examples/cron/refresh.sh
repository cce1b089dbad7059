#!/bin/sh
# refresh.sh PROJECT LOG: refreshes the dbt project in the folder PROJECT, whose virtual environment is its .venv, and
# appends what happened to LOG. Prints, for cron to mail, only what an operator must see: see the table of exit codes in
# docs/operations.md.
set -u
project=$1 log=$2
cd -- "$project" || exit 2
said=$(.venv/bin/vector refresh --quiet --wait 600 2>&1)
code=$?
printf '%s exit code %s\n%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$code" "$said" >> "$log"
# 1: some texts were quarantined, the rest is stored; `vector failures` lists them.
[ "$code" -le 1 ] || printf 'vector refresh ended with exit code %s\n%s\n' "$code" "$said"
exit "$code"
