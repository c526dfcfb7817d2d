#!/usr/bin/env bash
# Open an issue with the end of the given logs, or add to the open issue of that title.
# Usage: report-failure.sh TITLE [LOG ...]; needs gh, GH_TOKEN and GitHub's own variables.
set -euo pipefail

title="$1"
shift
run="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
body="$(mktemp)"
{
  echo "Commit $GITHUB_SHA, [run $GITHUB_RUN_ID]($run)."
  for log in "$@"; do
    [ -s "$log" ] || continue
    printf '\n<details><summary>%s</summary>\n\n```text\n' "$log"
    tail -n 120 "$log" | cut -c1-400
    printf '```\n\n</details>\n'
  done
} >"$body"

number="$(gh issue list --repo "$GITHUB_REPOSITORY" --state open --limit 200 --json number,title \
  --jq "map(select(.title == \"$title\")) | .[0].number // empty")"
if [ -n "$number" ]; then
  gh issue comment "$number" --repo "$GITHUB_REPOSITORY" --body-file "$body"
else
  gh issue create --repo "$GITHUB_REPOSITORY" --title "$title" --body-file "$body"
fi
