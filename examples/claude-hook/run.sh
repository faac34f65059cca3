#!/bin/sh
# A guard for Claude Code, from nothing: installs the hook into settings of its own, asks it what Claude Code asks
# before it runs a command, and takes the hook out again.
#
#   sh examples/claude-hook/run.sh
#
# `flowgate` has to be on the path (cargo install --path flowgate-cli). For real, in your home directory:
#
#   flowgate guard hook install claude

set -eu
HOME=$(mktemp -d)
export HOME
trap 'rm -rf "$HOME"' EXIT
mkdir -p "$HOME/project" "$HOME/.claude"
cd "$HOME/project"

# What was there stays: the hook is added to it.
echo '{"model": "opus"}' > "$HOME/.claude/settings.json"
flowgate guard hook install claude
cat "$HOME/.claude/settings.json"

# Claude Code starts the command of the hook, and writes to it what it is about to do.
hook=$(sed -n 's/.*"command": "\(.*\)".*/\1/p' "$HOME/.claude/settings.json" | sed 's/\\"/"/g')
ask() {
  printf '{"session_id": "s1", "cwd": "%s", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "%s"}}' \
    "$PWD" "$1" | sh -c "$hook"
  echo
}
echo "--- git status"
ask 'git status'
echo "--- git reset --hard"
ask 'git reset --hard HEAD~3'
echo "--- a command that only looks like it"
ask "git commit -m 'never git reset --hard'"

# What stopped it, for people; and how to let one such command run after all (only a person at a terminal can).
flowgate guard explain 'git reset --hard HEAD~3' || true
flowgate guard hook status claude
flowgate guard hook uninstall claude
cat "$HOME/.claude/settings.json"
