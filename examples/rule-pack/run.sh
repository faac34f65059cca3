#!/bin/sh
# A pack of rules of one's own, and its tests.
#
#   sh examples/rule-pack/run.sh
#
# `flowgate` has to be on the path (cargo install --path flowgate-cli).

set -eu
cd "$(dirname "$0")"

# The examples that stand beside each rule.
flowgate guard test --pack acme.deploy.yaml

# More commands, and what should become of each; with everything else that the guard knows.
flowgate guard test corpus.jsonl

# What an agent would be told.
flowgate guard check 'cd deploy && acmectl -e prod teardown' || test $? = 1
